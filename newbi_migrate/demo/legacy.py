"""A legacy database that looks like Newbi's in the summer of 2025, from a seed.

The documents are made without a database; inserting them is a small function at the end.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate, islice
from random import Random
from typing import Any, Final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, TEXT, IndexModel
from pymongo.synchronous.database import Database

from newbi_migrate.demo.documents import FACTORIES, FactoryContext, make_user
from newbi_migrate.demo.people import object_id
from newbi_migrate.errors import UsageError

__all__ = [
    "LEGACY_INDEXES",
    "OLD_TEXT_INDEXES",
    "LegacyDatabase",
    "build_legacy_database",
]

_BATCH: Final = 1000
_FIRST_DAY: Final = datetime(2024, 3, 1, tzinfo=UTC)
_DAYS: Final = 500
_ZIPF: Final = 1.1

# Documents of each collection for every hundred documents, as they are in production.
_SHARES: Final[Mapping[str, int]] = {
    "invoices": 20,
    "quotes": 10,
    "creditnotes": 2,
    "clients": 12,
    "expenses": 10,
    "events": 6,
    "transactions": 14,
    "accounts_bankings": 2,
    # A document of it names no owner, so none from before workspaces can be resolved.
    "api_metrics": 0,
    "ocr_documents": 4,
    "emailsignatures": 2,
    "boards": 2,
    "columns": 5,
    "tasks": 10,
    "bridgeaccounts": 1,
    "products": 6,
    "filetransfers": 3,
    "referralevents": 1,
    "accessgrants": 1,
    "downloadevents": 2,
}
# As many for every user, in order: the collections in which a user has one of a kind.
_PER_USER: Final = {"documentsettings": 2, "integrations": 1, "stripeconnectaccounts": 1}


def _index(*keys: str | tuple[str, int | str], **options: Any) -> IndexModel:
    return IndexModel([k if isinstance(k, tuple) else (k, ASCENDING) for k in keys], **options)


_NUMBERED: Final = {"partialFilterExpression": {"number": {"$exists": True}}, "unique": True}

LEGACY_INDEXES: Final[Mapping[str, tuple[IndexModel, ...]]] = {
    "users": (
        _index("email", unique=True),
        _index("referralCode", unique=True, sparse=True),
        _index("subscription.stripeCustomerId", sparse=True),
    ),
    "invoices": (
        _index("number", "createdBy", name="number_1_createdBy_1_year_unique", **_NUMBERED),
        _index("createdBy"),
        _index(("createdAt", DESCENDING)),
    ),
    "quotes": (
        _index("number", "createdBy", unique=True),
        _index("number", "createdBy", name="number_1_createdBy_1_partial", **_NUMBERED),
        _index("createdBy"),
    ),
    "creditnotes": (_index("number", "createdBy", **_NUMBERED),),
    "clients": (_index("email", "createdBy", unique=True), _index(("name", TEXT))),
    "expenses": (_index("createdBy", ("date", DESCENDING)),),
    "emailsignatures": (_index("createdBy"),),
    "documentsettings": (_index("createdBy", "documentType", unique=True),),
    "bridgeaccounts": (_index("bridgeId", unique=True), _index("userId")),
    "boards": (_index("userId"),),
    "columns": (_index("boardId", "order"),),
    "tasks": (_index("boardId"), _index("userId")),
    "events": (_index("userId", "start"),),
    "products": (_index(("name", TEXT), ("description", TEXT), ("reference", TEXT)),),
    "integrations": (_index("userId", "provider", unique=True),),
    "stripeconnectaccounts": (_index("userId", unique=True), _index("accountId", unique=True)),
    "filetransfers": (_index("shareLink", unique=True), _index("downloadLink", unique=True)),
    "accessgrants": (_index("stripeSessionId", unique=True),),
}
"""The indexes the application had built before workspaces, by collection."""

OLD_TEXT_INDEXES: Final[Mapping[str, tuple[IndexModel, ...]]] = {
    "expenses": (_index(("vendor", TEXT)),),
    "emailsignatures": (_index(("name", TEXT)),),
}
"""Text indexes that stand in the way of those the application wants today.

A collection has one text index at most.
"""


class LegacyDatabase:
    """What such a database holds, as iterators; the same seed and size give the same bytes.

    Every document can be resolved, and none has a workspace. Documents are spread over their
    owners as Zipf's law has it: the first user has most of them.

    Args:
        seed: Decides everything that is left to chance.
        users: Number of legacy users.
        documents_per_user: Documents of all collections together, on average for a user.
        collections: The collections to fill; all of them unless said otherwise.
        source: Name of the collection of the legacy users, ``users`` or ``Users``.

    Raises:
        UsageError: A collection is not one of the application's, or there is no user.
    """

    def __init__(
        self,
        seed: int = 0,
        users: int = 20,
        documents_per_user: int = 40,
        *,
        collections: Iterable[str] | None = None,
        source: str = "users",
    ) -> None:
        self.collections = tuple(FACTORIES if collections is None else collections)
        unknown = sorted(set(self.collections) - FACTORIES.keys())
        if unknown or users < 1:
            raise UsageError(
                f"A legacy database of {users} users with {', '.join(unknown) or 'nothing'} "
                "besides the known collections cannot be made.",
                next_step=f"Ask for at least one user and some of {', '.join(sorted(FACTORIES))}.",
            )
        self.seed = seed
        self.source = source
        self._size = users
        self._documents_per_user = documents_per_user
        self._owner_cache: dict[str, list[tuple[int, int]]] = {}

    @cached_property
    def users(self) -> list[dict[str, Any]]:
        """The legacy users, in order of their ids."""
        users = []
        for number in range(self._size):
            rng = self._rng("users", number)
            # Steps of their own keep the ids in order whatever the hash part is.
            born = _FIRST_DAY + timedelta(days=_DAYS * number / self._size)
            users.append(make_user(rng, object_id(rng, int(born.timestamp()) + number), number))
        return users

    def count(self, collection: str) -> int:
        """How many documents a collection has."""
        if collection == self.source:
            return self._size
        if collection not in self.collections:
            return 0
        per_user = _PER_USER.get(collection)
        if per_user is not None:
            return per_user * self._size
        share = _SHARES[collection]
        total = self._size * self._documents_per_user
        return max(1, total * share // 100) if share else 0

    def documents(self, collection: str) -> Iterator[dict[str, Any]]:
        """The documents of a collection."""
        if collection == self.source:
            yield from self.users
            return
        for index in range(self.count(collection)):
            yield self.document(collection, index)

    def document(self, collection: str, index: int) -> dict[str, Any]:
        """One document of a collection, by its place in it."""
        owner, number = self._owners(collection)[index]
        rng = self._rng(collection, index)
        identifier, when = self._birth(collection, index)
        draft = FactoryContext(
            rng=rng,
            id=identifier,
            user=self.users[owner],
            number=number,
            when=when,
            links=self._links(collection, index),
        )
        return FACTORIES[collection](draft)

    def _rng(self, collection: str, index: int) -> Random:
        return Random(f"{self.seed}:{collection}:{index}")  # noqa: S311 - repeatable, not secret

    def _birth(self, collection: str, index: int) -> tuple[ObjectId, datetime]:
        rng = self._rng(f"{collection}/_id", index)
        seconds = int(_FIRST_DAY.timestamp()) + rng.randrange(_DAYS * 86_400)
        return object_id(rng, seconds), datetime.fromtimestamp(seconds, UTC)

    def _id(self, collection: str, index: int) -> ObjectId:
        return self._birth(collection, index % max(1, self._full_count(collection)))[0]

    def _full_count(self, collection: str) -> int:
        """The size of a collection, also where it is not asked for and only referred to."""
        share = _SHARES.get(collection, 0)
        return max(1, self._size * self._documents_per_user * share // 100)

    def _owners(self, collection: str) -> list[tuple[int, int]]:
        """For each document the place of its owner, and how many they have by then."""
        if collection not in self._owner_cache:
            seen: Counter[int] = Counter()
            owners = []
            for index in range(max(self.count(collection), self._full_count(collection))):
                owner = self._owner(collection, index)
                seen[owner] += 1
                owners.append((owner, seen[owner]))
            self._owner_cache[collection] = owners
        return self._owner_cache[collection]

    @cached_property
    def _weights(self) -> list[float]:
        return list(accumulate(1 / (rank + 1) ** _ZIPF for rank in range(self._size)))

    def _owner(self, collection: str, index: int) -> int:
        """The place of the owner among the users; linked documents share theirs."""
        if collection in _PER_USER:
            return index // _PER_USER[collection]
        followed = _FOLLOWS.get(collection)
        if followed is not None:
            leader, per_leader = followed
            return self._owner(leader, (index // per_leader) % self._full_count(leader))
        point = self._rng(f"{collection}/owner", index).random() * self._weights[-1]
        return bisect.bisect(self._weights, point, hi=self._size - 1)

    def _links(self, collection: str, index: int) -> dict[str, Any]:
        if collection == "creditnotes":
            invoice = index % self._full_count("invoices")
            number = self._owners("invoices")[invoice][1]
            return {
                "originalInvoice": self._id("invoices", invoice),
                "originalInvoiceNumber": f"{number:06d}",
            }
        if collection == "events" and index % 3 == 0:
            return {"invoiceId": self._id("invoices", index)}
        if collection == "columns":
            return {"boardId": self._id("boards", index // 3), "order": index % 3}
        if collection == "tasks":
            column = (index // 2) % self._full_count("columns")
            return {
                "boardId": self._id("boards", column // 3),
                "columnId": str(self._id("columns", column)),
            }
        if collection == "referralevents":
            owner = self._owners(collection)[index][0]
            return {"referredUserId": self.users[(owner + 1) % self._size]["_id"]}
        if collection in {"accessgrants", "downloadevents"}:
            links = {"transferId": self._id("filetransfers", index)}
            if collection == "downloadevents":
                links["accessGrantId"] = self._id("accessgrants", index)
            return links
        return {}


# Collection to the one whose documents decide on the owner, and how many follow each of them.
_FOLLOWS: Final[Mapping[str, tuple[str, int]]] = {
    "creditnotes": ("invoices", 1),
    "events": ("invoices", 1),
    "columns": ("boards", 3),
    "tasks": ("columns", 2),
}


def build_legacy_database(
    database: Database[Any],
    *,
    seed: int = 0,
    users: int = 20,
    documents_per_user: int = 40,
    collections: Iterable[str] | None = None,
    source: str = "users",
) -> LegacyDatabase:
    """Fill an empty database and return what was put into it.

    The legacy indexes are built first, as they were when the documents were written.

    Args:
        database: Where; nothing that is there is removed.
        seed: See :class:`LegacyDatabase`, as for the arguments after it.
        users: Number of legacy users.
        documents_per_user: Documents on average for a user.
        collections: The collections to fill; the empty ones among them exist afterwards.
        source: Name of the collection of the legacy users.

    Raises:
        UsageError: A collection is not known.
    """
    legacy = LegacyDatabase(seed, users, documents_per_user, collections=collections, source=source)
    for name in (*legacy.collections, source):
        database.create_collection(name)
        if models := LEGACY_INDEXES.get("users" if name == source else name):
            database[name].create_indexes(list(models))
    for name in (source, *legacy.collections):
        documents = legacy.documents(name)
        while batch := list(islice(documents, _BATCH)):
            database[name].insert_many(batch, ordered=False)
    return legacy
