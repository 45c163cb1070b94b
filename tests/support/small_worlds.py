"""A small database of users in memory: drawn at random, decided about, written, asked again.

Few ids, addresses and numbers are drawn from, so that users collide in every way they can.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from hypothesis import strategies as st

from newbi_migrate.choices import AliasPolicy, DuplicatePolicy
from newbi_migrate.mapping.decisions import (
    LegacyKey,
    Target,
    TargetUser,
    decide_users,
)
from newbi_migrate.mapping.email import normalise_email
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.users import Existing, Insert, UserWrites, writes_for
from newbi_migrate.mapping.values import ABSENT, get_path, is_missing, read_id
from newbi_migrate.mapping.workspace import Membership
from newbi_migrate.testing import strategies

BCRYPT = "$2b$10$" + "a" * 53
SCRYPT = "0a" * 16 + ":" + "1b" * 64
SECRETS = {
    "emailVerificationToken": "jeton",
    "resetPasswordToken": "jeton",
    "workspaceId": "65a000000000000000000001",
    "organizationId": "65a000000000000000000001",
    "__v": 3,
}
# Two of them share their last eight digits, and with these the application's slug.
IDS = [ObjectId(f"65a0000{n}00000000{s}") for n in (1, 2, 3) for s in ("aaaaaaaa", "bbbbbbbb")]
EMAILS = ["lea@newbi.fr", "hugo@newbi.fr", "zoé@newbi.fr"]
PHONES = ["0612121212", "+33 6 13 13 13 13"]
CODES = ["AAAA1111", "BBBB2222"]


def _spelled(value: str) -> st.SearchStrategy[str]:
    return st.one_of(st.just(value), _misspelled(value))


def _misspelled(value: str) -> st.SearchStrategy[str]:
    return st.sampled_from([value.upper(), f" {value} ", value.title(), f"\ufeff{value}"])


EMAIL_VALUES = st.one_of(
    st.sampled_from(EMAILS).flatmap(_spelled), st.sampled_from([None, "", "  ", 42])
)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


TEXTS = st.sampled_from(["Atelier", "Studio", "", "  ", None, 7])
FLAGS = st.sampled_from([True, True, False, None, 1, "true"])
COMPANIES = st.one_of(
    st.sampled_from([None, "Newbi", {}, {"companyStatus": "AUTRE", "name": ""}]),
    maybe(
        name=TEXTS,
        email=TEXTS,
        siret=TEXTS,
        vatNumber=TEXTS,
        companyStatus=st.sampled_from(["SARL", "AUTO_ENTREPRENEUR", "AUTRE", None]),
        transactionCategory=st.sampled_from(["GOODS", "SERVICES", "MIXED", 3]),
        address=st.one_of(
            st.none(), maybe(street=TEXTS, city=TEXTS, postalCode=TEXTS, country=TEXTS)
        ),
        bankDetails=st.one_of(st.none(), maybe(iban=TEXTS, bic=TEXTS, bankName=TEXTS)),
    ),
)
PROFILES = st.one_of(
    st.sampled_from([None, {}, 7]),
    maybe(
        firstName=TEXTS,
        lastName=TEXTS,
        phone=st.sampled_from([*PHONES, "", None]),
        profilePictureUrl=TEXTS,
    ),
)
PASSWORDS = st.sampled_from([BCRYPT, BCRYPT, SCRYPT, SCRYPT, "", None, "en clair", 7])
LEGACY_FIELDS = maybe(
    email=EMAIL_VALUES,
    isDisabled=FLAGS,
    banned=FLAGS,
    twoFactorEnabled=FLAGS,
    profile=PROFILES,
    company=COMPANIES,
    referralCode=st.sampled_from([*CODES, "", None]),
    phoneNumber=st.sampled_from([*PHONES, "", None]),
    role=st.sampled_from(["owner", "admin", "", None, 7]),
    subscription=st.one_of(st.none(), maybe(stripeCustomerId=TEXTS)),
    createdAt=st.one_of(
        st.none(),
        strategies.dates(),
        st.sampled_from(["2025-01-02T03:04:05Z", 1709596800000, 1709596800.0, "hier"]),
    ),
    unknown=strategies.bson_values(),
)
# Most have a hash and a verified address: only then may it become an account's of somebody else.
SIGN_IN = st.fixed_dictionaries({"password": PASSWORDS, "isEmailVerified": FLAGS})
SECRETIVE = st.sampled_from([{}, SECRETS])
LEGACY_IDS = st.sampled_from([*IDS, *IDS, *IDS, "user-1", 7])


@st.composite
def legacy_documents(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Legacy users with distinct ids, of which a few are no ObjectIds."""
    fewest = draw(st.sampled_from([0, 2, 3]))
    ids = draw(st.lists(LEGACY_IDS, min_size=fewest, max_size=5, unique=True))
    return [{"_id": i, **draw(LEGACY_FIELDS), **draw(SIGN_IN), **draw(SECRETIVE)} for i in ids]


USER_FIELDS = maybe(
    email=EMAIL_VALUES,
    name=TEXTS,
    emailVerified=FLAGS,
    isEmailVerified=FLAGS,
    isActive=FLAGS,
    banned=FLAGS,
    isDisabled=FLAGS,
    phoneNumber=st.sampled_from([*PHONES, "", None]),
    referralCode=st.sampled_from([*CODES, "", None]),
    role=st.sampled_from(["owner", "member", None]),
    company=COMPANIES,
    profile=PROFILES,
)
ORGANIZATION_FIELDS = maybe(
    slug=st.sampled_from(["org-aaaaaaaa", "org-bbbbbbbb", None, 7]),
    companyName=TEXTS,
    addressCity=TEXTS,
    addressStreet=TEXTS,
    bankIban=TEXTS,
    vatNumber=TEXTS,
)
USER_IDS = st.sampled_from([*IDS, *(ObjectId(f"65b0000{n}00000000cccccccc") for n in (1, 2))])
ORGANIZATION_IDS = st.sampled_from(
    [*map(organization_id, IDS), *(ObjectId(f"65c0000{n}00000000dddddddd") for n in (1, 2))]
)
ROLES = st.sampled_from(["owner", "admin", "member", "member,owner"])


@dataclass
class Database:
    """The Better Auth collections, each by ``_id``, as an application without indexes has them."""

    collections: dict[str, dict[Any, dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def add(self, collection: str, document: dict[str, Any]) -> None:
        assert document["_id"] not in self.collections[collection]
        # A sampled value is one object in all examples: what is filled in later must not reach it.
        self.collections[collection][document["_id"]] = deepcopy(document)

    def every(self, collection: str) -> list[dict[str, Any]]:
        return list(self.collections[collection].values())

    def target(self) -> Target:
        """What a migration learns of it."""
        users = {d["_id"]: u for d in self.every("user") if (u := TargetUser.of(d)) is not None}
        slugs = {d["_id"]: d.get("slug") for d in self.every("organization")}
        return Target(
            users=users,
            organizations={i: s if isinstance(s, str) else None for i, s in slugs.items()},
            memberships=tuple(
                Membership(m["organizationId"], m["userId"], frozenset(m["role"].split(",")))
                for m in self.every("member")
                if m["organizationId"] in slugs
            ),
            unusable_emails=frozenset(
                email
                for d in self.every("user")
                if d["_id"] not in users and (email := normalise_email(d.get("email")))
            ),
        )

    def existing(self, user_id: ObjectId | None, workspace: ObjectId | None) -> Existing:
        return Existing(
            user=self.collections["user"].get(user_id),
            accounts=tuple(
                a for a in self.every("account") if read_id(a["userId"]).value == user_id
            ),
            organization=self.collections["organization"].get(workspace),
            is_member=any(
                (workspace, user_id) == (m["organizationId"], m["userId"])
                for m in self.every("member")
            ),
        )

    def plan(self, legacy: list[dict[str, Any]], **policies: Any) -> list[UserWrites]:
        """What a migration would write, without writing it."""
        keys = [LegacyKey.of(document) for document in legacy]
        decisions = decide_users(keys, self.target(), **policies)
        return [
            writes_for(
                document,
                decision,
                self.existing(decision.user_id, decision.workspace),
            )
            for document, decision in zip(legacy, decisions, strict=True)
        ]

    def carry_out(self, planned: list[UserWrites]) -> None:
        """Writes it, and refuses what the rules of a write forbid."""
        for write in (write for writes in planned for write in writes.writes):
            if isinstance(write, Insert):
                self.add(write.collection, {**write.document})
                continue
            document = self.collections[write.collection][write.id]
            for path, value in write.values.items():
                stored = get_path(document, *path.split("."))
                assert is_missing(stored), f"{path} would be overwritten"
                assert (stored is not ABSENT) == (path in write.prior)
                assert stored is ABSENT or stored == write.prior[path]
                _set(document, path.split("."), deepcopy(value))


def _set(document: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        document = document[name]
    document[path[-1]] = value


def _account(user_id: ObjectId, provider: str) -> dict[str, Any]:
    identifier = ObjectId(user_id.binary[:11] + provider[:1].encode())
    return {
        "_id": identifier,
        "userId": user_id,
        "providerId": provider,
        "accountId": str(user_id),
    }


@st.composite
def databases(draw: st.DrawFn) -> Database:
    """What is there before a migration: often nothing, sometimes anything."""
    database = Database()
    if draw(st.booleans()):
        return database
    for user_id in draw(st.lists(USER_IDS, max_size=3, unique=True)):
        database.add("user", {"_id": user_id, **draw(USER_FIELDS)})
        for provider in draw(st.lists(st.sampled_from(["credential", "google"]), max_size=1)):
            secret = draw(maybe(password=PASSWORDS, userId=st.just(str(user_id))))
            database.add("account", {**_account(user_id, provider), **secret})
    for email in draw(st.one_of(st.just([]), st.lists(EMAIL_VALUES, max_size=1))):
        database.add("user", {"_id": "user-1", "email": email})
    organizations = draw(st.lists(ORGANIZATION_IDS, max_size=3, unique=True))
    for organization in organizations:
        database.add("organization", {"_id": organization, **draw(ORGANIZATION_FIELDS)})
    pairs = st.tuples(st.sampled_from([*organizations, ObjectId("65d" + "0" * 21)]), USER_IDS)
    for number, pair in enumerate(draw(st.lists(pairs, max_size=4, unique=True))):
        database.add(
            "member",
            {
                "_id": ObjectId(f"65e{number:021d}"),
                "organizationId": pair[0],
                "userId": pair[1],
                "role": draw(ROLES),
            },
        )
    return database


# Twice as often as not somebody who is registered may become that user.
policies = st.fixed_dictionaries(
    {
        "duplicates": st.sampled_from(DuplicatePolicy),
        "aliases": st.sampled_from([*AliasPolicy, AliasPolicy.VERIFIED, AliasPolicy.ALL]),
    }
)
_OWN = ["ana@newbi.fr", "tom@newbi.fr", "lou@newbi.fr", "zoé@localhost", "eva@newbi.fr"]
_REGISTERED = [ObjectId(f"65b0000{n}00000000eeeeeeee") for n in range(1, 6)]
_PROVEN = st.sampled_from([True, True, True, False, None])
_KIN = st.sampled_from(["alone", "registered", "there", "twin", "registered", "anything"])


@st.composite
def small_worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], Database]:
    """Legacy users, and a database in which many of them are already, in every way they can be.

    Drawn apart they would hardly ever meet, and whatever is said of aliased users, of merged ones
    and of twins would be said of nobody. ``test_small_worlds`` counts them.
    """
    database, legacy = draw(databases()), draw(legacy_documents())
    for number, document in enumerate(legacy):
        kin, own = draw(_KIN), _OWN[number]
        if kin == "anything":
            continue
        if kin == "twin":
            own = normalise_email(legacy[number - 1].get("email")) or own
        # Of twins with one spelling none is kept, whatever the policy.
        document["email"] = draw(_misspelled(own) if kin == "twin" else _spelled(own))
        user_id = _REGISTERED[number] if kin == "registered" else document["_id"]
        if kin in ("registered", "there") and isinstance(user_id, ObjectId):
            _sign_up(draw, database, user_id, own)
    return legacy, database


def _sign_up(draw: st.DrawFn, database: Database, user_id: ObjectId, email: str) -> None:
    if user_id in database.collections["user"]:
        return
    fields = {**draw(USER_FIELDS), "email": email, "emailVerified": draw(_PROVEN)}
    database.add("user", {"_id": user_id, **fields})
    for provider in draw(st.sampled_from([[], [], ["google"], ["credential"]])):
        secret = draw(maybe(password=PASSWORDS, userId=st.just(str(user_id))))
        database.add("account", {**_account(user_id, provider), **secret})
