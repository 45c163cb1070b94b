"""Whole dirty databases from a seed: quickly made, and odd in every way that a run decides on.

Beside what a collection's documents hold, a document has fields nobody knows, of any BSON type; its
owner, its workspace and its ``_id`` are stored in every way that was seen, and in some that were
not.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from bson import (
    Binary,
    Code,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from raw_conservation import OWNERS, PARENTS, SCOPED
from small_legacy import legacy_user

FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
HASH = "$2b$10$" + "a" * 53


class Generated:
    """A database.

    Args:
        seed: The same seed, and the other arguments, give the same database.
        users: Legacy users.
        documents: Documents of the business, about so many.
    """

    def __init__(self, seed, *, users=4, documents=24):
        self._chance = random.Random(f"generated {seed}")
        self._number = 0
        self.collections = {"Users": []}
        self._organizations = []
        for _ in range(users):
            self._add_user()
        for _ in range(documents):
            self._add_document(self._chance.choice(_NAMES))

    def fill(self, database):
        """Store it; documents go in one by one where the server takes a thousand at once."""
        for name, documents in self.collections.items():
            for first in range(0, len(documents), 1000):
                database[name].insert_many(documents[first : first + 1000], ordered=False)
        if self._chance.random() < 0.3:
            database["invoices"].create_index([("number", 1), ("createdBy", 1)], name="old")

    # -- users --------------------------------------------------------------------------------

    def _new_id(self):
        self._number += 1
        return ObjectId(f"6{self._chance.randrange(16**11):011x}{self._number:012x}")

    def _add(self, name, document):
        self.collections.setdefault(name, []).append(document)

    def _add_user(self):
        chance = self._chance
        identifier = chance.choice([self._new_id()] * 9 + [f"user-{self._number}"])
        user = legacy_user(0, email=self._email(), password=chance.choice(_PASSWORDS))
        user |= {
            "_id": identifier,
            "isEmailVerified": chance.choice([True, True, False, None]),
            **self._unknown(),
        }
        for name in ("profile", "company", "createdAt"):
            if chance.random() < 0.1:
                user[name] = chance.choice([None, {}, 7])
        self._add("Users", user)
        kin = chance.random()
        if kin < 0.2:
            self._sign_up(identifier, user["email"])
        elif kin < 0.4:
            self._sign_up(self._new_id(), user["email"])

    def _email(self):
        chance = self._chance
        people = self.collections["Users"]
        address = f"moi{self._number}@exemple.fr"
        odd = chance.random()
        if odd < 0.1 and people:
            address = str(people[-1]["email"]).upper()
        elif odd < 0.2:
            address = chance.choice([f" {address}", address.title(), "", None, 42, "é@exemple.fr"])
        return address

    def _sign_up(self, identifier, email):
        """Somebody is there already: with the same id, or with another and the same address."""
        chance = self._chance
        self._add(
            "user",
            {
                "_id": identifier,
                "email": email,
                "name": chance.choice(["Jeanne", "", None]),
                "emailVerified": chance.choice([True, True, False]),
                **self._unknown(),
            },
        )
        if chance.random() < 0.5:
            organization = self._new_id()
            self._organizations.append(organization)
            self._add("organization", {"_id": organization, "slug": f"o-{organization}"})
            role = chance.choice(["owner", "admin", "member"])
            self._add(
                "member",
                {
                    "_id": self._new_id(),
                    "userId": identifier,
                    "organizationId": organization,
                    "role": role,
                },
            )

    # -- documents ----------------------------------------------------------------------------

    def _add_document(self, name):
        chance = self._chance
        document = {"_id": self._document_id()}
        parts = [self._unknown(), *({f: self._owner()} for f in OWNERS[name])]
        if name in SCOPED:
            parts.append(self._workspace())
        if name in PARENTS:
            boards = self.collections.get(PARENTS[name][1], [])
            known = [board["_id"] for board in boards[-3:]]
            parts.append({PARENTS[name][0]: chance.choice([*known, ObjectId(), None])})
        parts.append(self._business())
        chance.shuffle(parts)
        for part in parts:
            document.update(part)
        if chance.random() < 0.05:
            document.pop(chance.choice(list(document)[1:] or ["_id"]), None)
        self._add(name, document)

    def _document_id(self):
        odd = self._chance.random()
        self._number += 1
        if odd < 0.85:
            return self._new_id()
        return self._chance.choice(
            [
                f"doc-{self._number}",
                self._number,
                Int64(self._number),
                self._number + 0.5,
                {"a": self._number},
                Binary(self._number.to_bytes(8, "big")),
                Decimal128(f"{self._number}.25"),
                FIRST_DAY + timedelta(seconds=self._number),
            ]
        )

    def _owner(self):
        chance = self._chance
        user = chance.choice(self.collections["Users"])["_id"]
        odd = chance.random()
        if odd < 0.7:
            return user
        return chance.choice(
            [str(user), {"$oid": str(user)}, str(user).upper(), None, "", 7, [user], ObjectId()]
        )

    def _workspace(self):
        chance = self._chance
        odd = chance.random()
        if odd < 0.5:
            return {}
        user = chance.choice(self.collections["Users"])["_id"]
        there = [*self._organizations[-3:], ObjectId()]
        organization = chance.choice(there)
        value = chance.choice(
            [None, "", "  ", organization, organization, str(organization), user, str(user), 7, []]
        )
        return {"workspaceId": value}

    def _business(self):
        chance = self._chance
        return {
            "number": chance.choice([f"{self._number:06d}", f"{self._number:06d}", None, 3, ""]),
            "issueDate": chance.choice([FIRST_DAY, FIRST_DAY, "hier", None]),
            "email": chance.choice([f"client{self._number}@exemple.fr", None]),
            "externalId": f"e{self._number}",
            "idempotencyKey": f"k{self._number}",
            "documentType": f"t{self._number}",
        }

    def _unknown(self):
        chance = self._chance
        count = chance.choice([0, 0, 1, 2, 3])
        return {f"{chance.choice(_KEYS)}{n}": self._value(2) for n in range(count)}

    def _value(self, depth):
        chance = self._chance
        if depth and chance.random() < 0.2:
            if chance.random() < 0.5:
                return [self._value(depth - 1) for _ in range(chance.randrange(4))]
            return {chance.choice(_KEYS): self._value(depth - 1) for _ in range(2)}
        return chance.choice(_VALUES)


_NAMES = sorted(OWNERS)
_PASSWORDS = [HASH, HASH, "0a" * 16 + ":" + "1b" * 64, None, "", "en clair", 7]
_KEYS = ["x", "é", "a b", "$set", "a.b", "", "__v", "companyStatus", "items"]
_VALUES = [
    *(None, True, False, 0, -1, 2**31 - 1, Int64(2**53), 0.1, -0.0, float("nan"), float("inf")),
    *("", "texte", "é\u0301 \ufeff", "🙂" * 40, "mongodb", "<script>alert(1)</script>", "\x00"),
    *(b"", Binary(b"\x00\xff", 128), Binary(bytes(16), 4), ObjectId("0" * 24)),
    *(FIRST_DAY, FIRST_DAY - timedelta(days=40_000), Timestamp(3, 4), MinKey(), MaxKey()),
    *(Regex("^a", "i"), Code("f()"), Code("f()", {"x": 1}), Decimal128("0E-6176")),
    *(Decimal128("NaN"), [], {}, [None], {"$ref": "x"}),
]
