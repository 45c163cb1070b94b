"""Legacy users with whom something is odd, and what Better Auth is to answer each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from newbi_migrate.demo.people import PASSWORDS

(PASSWORD, HASH), (OTHER_PASSWORD, OTHER_HASH) = [*PASSWORDS.items()][:2]
_CLEAR = {stored: clear for clear, stored in PASSWORDS.items()}
DAY = datetime(2024, 3, 5, tzinfo=UTC)


def password_of(user):
    """The password in clear of a user of a made-up legacy database."""
    return _CLEAR[user["password"]]


@dataclass(frozen=True)
class Person:
    """A legacy user.

    ``there`` are fields of the user who is there already, under another id if ``elsewhere``, and
    ``account`` those of their account. ``status`` is the answer to the legacy password with what is
    ``typed``, or else with the e-mail.
    """

    name: str
    email: str
    status: int = 200
    typed: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    there: dict[str, Any] | None = None
    elsewhere: bool = False
    account: dict[str, Any] | None = None
    password: str = PASSWORD

    @property
    def legacy_id(self):
        return ObjectId(f"64d000000000000000{NAMES.index(self.name):06x}")

    @property
    def user_id(self):
        """The id of the user they are to be."""
        return ObjectId(
            f"64e000000000000000{NAMES.index(self.name):06x}"
            if self.elsewhere
            else str(self.legacy_id)
        )

    @property
    def account_id(self):
        return ObjectId(f"64f000000000000000{NAMES.index(self.name):06x}")

    @property
    def ids(self):
        """Ids by which a plan may name them."""
        return {self.legacy_id, self.user_id, self.account_id}


def _credential(**fields):
    return {"providerId": "credential", "issuer": "local:credential", **fields}


def _google(identifier):
    issuer = "https://accounts.google.com"
    return {"providerId": "google", "accountId": identifier, "issuer": issuer}


_TAKEN = {"emailVerified": True}
ALL = (
    Person("plain", "plain@b.fr"),
    Person("mixed case", " Upper.Case@B.fr ", typed="upper.case@b.fr"),
    Person("byte order mark", "\ufeffbom@b.fr", typed="bom@b.fr"),
    Person("registered again", "again@b.fr", there=_TAKEN, elsewhere=True),
    Person(
        "registered again, unverified before",
        "again2@b.fr",
        401,
        fields={"isEmailVerified": False},
        there=_TAKEN,
        elsewhere=True,
    ),
    Person(
        "registered again, with a password",
        "again3@b.fr",
        401,
        there=_TAKEN,
        elsewhere=True,
        account=_credential(password=OTHER_HASH),
    ),
    Person(
        "registered again, in lower case",
        "Again4@B.fr",
        typed="again4@b.fr",
        there={**_TAKEN, "email": "again4@b.fr"},
        elsewhere=True,
    ),
    Person(
        "registered again, with google",
        "again5@b.fr",
        there=_TAKEN,
        elsewhere=True,
        account=_google("g-2"),
    ),
    Person("there already", "there@b.fr", there={}),
    Person(
        "there already, with google",
        "there3@b.fr",
        there=_TAKEN,
        account=_google("g-3"),
    ),
    Person(
        "there already, with a password",
        "there2@b.fr",
        401,
        there={},
        account=_credential(password=OTHER_HASH),
    ),
    Person(
        "account by text",
        "text@b.fr",
        401,
        there={},
        account=_credential(password=HASH, userId=str),
    ),
    Person("twin as typed", "twin@b.fr"),
    Person(
        "twin by case",
        "Twin@B.fr",
        401,
        "twin@b.fr",
        {"password": OTHER_HASH},
        password=OTHER_PASSWORD,
    ),
    Person("accented", "zoé@b.fr", 400),
    Person("no address", "camille 65", 400),
    Person("no domain", "a@localhost", 400),
    Person("underscore", "a@b_c.fr", 400),
    Person("disabled", "disabled@b.fr", fields={"isDisabled": True}),
    Person("banned", "banned@b.fr", fields={"banned": True, "banReason": "fraude"}),
    Person("unverified", "unverified@b.fr", fields={"isEmailVerified": False}),
    Person("admin", "admin@b.fr", fields={"role": "admin", "twoFactorEnabled": True}),
    Person("no password", "none@b.fr", 401, fields={"password": ""}),
    Person("clear password", "clear@b.fr", 401, fields={"password": PASSWORD}),
    Person(
        "google alone",
        "google@b.fr",
        401,
        fields={"password": None},
        there=_TAKEN,
        account=_google("g-1"),
    ),
    Person(
        "numbers",
        "numbers@b.fr",
        fields={
            "createdAt": 1709596800000,
            "company": {
                "name": "Atelier",
                "siret": 12345678901234,
                "address": {"postalCode": 69001.0},
            },
        },
    ),
)
NAMES = [person.name for person in ALL]
PEOPLE = dict(zip(NAMES, ALL, strict=True))


def fill(database):
    """Store all of them, with those who are there already."""
    for person in ALL:
        database["users"].insert_one(
            {
                "_id": person.legacy_id,
                "email": person.email,
                "password": HASH,
                "isEmailVerified": True,
                "createdAt": DAY,
                "profile": {"firstName": person.name},
                **person.fields,
            }
        )
        dates = {"createdAt": DAY, "updatedAt": DAY}
        if person.there is not None:
            user = {"_id": person.user_id, "email": person.email, "name": person.name}
            database["user"].insert_one({**user, "emailVerified": False, **dates, **person.there})
        if person.account is not None:
            owner = person.user_id
            account = {"_id": person.account_id, "accountId": str(owner), "userId": owner}
            account |= {**dates, **person.account}
            if account["userId"] is str:
                account["userId"] = str(owner)
            database["account"].insert_one(account)
