"""What a case of a dirty legacy database is made with: its documents and what becomes of each.

A case has users of its own, so that any selection of cases behaves like each of them alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from newbi_migrate.demo.documents import FACTORIES, FactoryContext, make_user
from newbi_migrate.demo.people import object_id
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Action, Reason

__all__ = [
    "CASES",
    "Case",
    "CaseBuilder",
    "ExpectedDocument",
    "ExpectedUser",
    "case",
    "invalid_text",
    "raw",
]

_BORN: Final = int(datetime(2025, 5, 1, tzinfo=UTC).timestamp())
_LENIENT: Final[CodecOptions[RawBSONDocument]] = CodecOptions(
    document_class=RawBSONDocument,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """What a migration with the default choices does with one document of a case.

    Attributes:
        case: Name of the case.
        collection: Where the document is.
        id: Its ``_id``.
        action: What happens to it.
        reason: Why it is quarantined.
        workspace: The workspace it has afterwards, as an id whatever the type it is stored in.
        owners: Fields that name another user afterwards, with their new values.
    """

    case: str
    collection: str
    id: Any
    action: Action
    reason: Reason | None = None
    workspace: ObjectId | None = None
    owners: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ExpectedUser:
    """What a migration with the default choices makes of one legacy user of a case.

    Attributes:
        case: Name of the case.
        id: The stored ``_id``.
        outcome: What becomes of them.
        reason: Why they are quarantined.
        user_id: The id they are known by afterwards.
        workspace: The workspace of their documents; ``None`` where there is no single one.
    """

    case: str
    id: Any
    outcome: Outcome
    reason: Reason | None = None
    user_id: ObjectId | None = None
    workspace: ObjectId | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One oddity.

    Attributes:
        name: Its name, in lower case with hyphens.
        sentence: What is odd.
        make: Adds its documents to a builder.
    """

    name: str
    sentence: str
    make: Callable[[CaseBuilder], None]


CASES: Final[dict[str, Case]] = {}
"""All cases, by name."""


def case(name: str) -> Callable[[Callable[[CaseBuilder], None]], Callable[[CaseBuilder], None]]:
    """Register a function as a case; its docstring says what is odd."""

    def register(make: Callable[[CaseBuilder], None]) -> Callable[[CaseBuilder], None]:
        sentence = (make.__doc__ or "").strip().splitlines()[0]
        CASES[name] = Case(name, sentence, make)
        return make

    return register


class CaseBuilder:
    """The documents of one case, as it is being made.

    Args:
        name: Name of the case.
        seed: Seed of the database.
        source: Name of the collection of the legacy users.
    """

    def __init__(self, name: str, seed: int, source: str) -> None:
        self.name = name
        self.source = source
        self.documents: dict[str, list[Any]] = defaultdict(list)
        self.expected: list[ExpectedDocument] = []
        self.users: list[ExpectedUser] = []
        self._rng = Random(f"{seed}:dirt:{name}")
        # Far above those of the good users, so that no address or number is twice there.
        self._number = 10_000 + self._rng.randrange(90_000_000)

    def id(self) -> ObjectId:
        """A fresh id."""
        return object_id(self._rng, _BORN)

    def user(
        self,
        outcome: Outcome | None = Outcome.CREATED,
        *,
        reason: Reason | None = None,
        user_id: ObjectId | None = None,
        workspace: ObjectId | None = None,
        several: bool = False,
        **changes: Any,
    ) -> dict[str, Any]:
        """Add a legacy user, with some fields changed (``...`` takes one out).

        Args:
            outcome: What becomes of them; ``None`` where nothing is said of it.
            reason: Why they are quarantined.
            user_id: The id they are known by afterwards, their own unless given.
            workspace: Their workspace, the one derived from their id unless given.
            several: Whether they have several workspaces and so none of their own.
            changes: Field to value.
        """
        self._number += 1
        user = make_user(self._rng, self.id(), self._number)
        # The last digits alone could be those of another case's user.
        user["referralCode"] = f"D{self._number}"
        self.change(user, changes)
        self.documents[self.source].append(user)
        if outcome is Outcome.QUARANTINED:
            self.users.append(ExpectedUser(self.name, user["_id"], outcome, reason))
        elif outcome is not None:
            known_as = user_id or user["_id"]
            workspace = None if several else workspace or organization_id(known_as)
            self.users.append(
                ExpectedUser(self.name, user["_id"], outcome, None, known_as, workspace)
            )
        return user

    @staticmethod
    def change(document: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """Set fields, and take out those whose value is ``...``."""
        for field, value in changes.items():
            if value is ...:
                document.pop(field, None)
            else:
                document[field] = value

    def make(
        self,
        collection: str,
        user: Mapping[str, Any],
        links: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """Make a document of a user, with some fields changed, and do not add it yet."""
        self._number += 1
        draft = FactoryContext(
            rng=self._rng,
            id=self.id(),
            user=user,
            number=self._number % 1_000_000,
            when=datetime(2025, 6, 2, 9, 30, tzinfo=UTC),
            links=links or {},
        )
        document = FACTORIES[collection](draft)
        self.change(document, changes)
        return document

    def add(
        self,
        collection: str,
        document: Mapping[str, Any],
        action: Action | None = None,
        *,
        reason: Reason | None = None,
        workspace: ObjectId | None = None,
        owners: Mapping[str, Any] | None = None,
    ) -> Any:
        """Add a document and say what becomes of it; return its ``_id``."""
        self.documents[collection].append(document)
        identifier = document["_id"]
        if action is not None:
            self.expected.append(
                ExpectedDocument(
                    self.name, collection, identifier, action, reason, workspace, owners
                )
            )
        return identifier

    def stamped(self, collection: str, user: Mapping[str, Any], **changes: Any) -> ObjectId:
        """Add a document of a user that goes to the workspace derived from their id."""
        links = changes.pop("links", None)
        document = self.make(collection, user, links, **changes)
        workspace = organization_id(user["_id"])
        identifier: ObjectId = self.add(collection, document, Action.STAMP, workspace=workspace)
        return identifier

    def quarantined(
        self, collection: str, user: Mapping[str, Any], reason: Reason, **changes: Any
    ) -> ObjectId:
        """Add a document that is quarantined."""
        links = changes.pop("links", None)
        document = self.make(collection, user, links, **changes)
        identifier: ObjectId = self.add(collection, document, Action.QUARANTINE, reason=reason)
        return identifier

    def target_user(self, email: str, **changes: Any) -> ObjectId:
        """Add a Better Auth user; return their id."""
        when = datetime(2025, 7, 1, tzinfo=UTC)
        user: dict[str, Any] = {
            "_id": self.id(),
            "name": "Camille",
            "email": email,
            "emailVerified": True,
            "createdAt": when,
            "updatedAt": when,
            "role": "owner",
            "isActive": True,
        }
        self.change(user, changes)
        identifier: ObjectId = self.add("user", user)
        return identifier

    def organization(self, *owners: ObjectId, role: str = "owner", **changes: Any) -> ObjectId:
        """Add an organization with these members; return its id."""
        when = datetime(2025, 7, 1, tzinfo=UTC)
        organization: dict[str, Any] = {
            "_id": self.id(),
            "name": "Atelier Exemple",
            "createdAt": when,
            "metadata": '{"type":"business"}',
        }
        organization["slug"] = f"atelier-{organization['_id']}"
        self.change(organization, changes)
        identifier: ObjectId = self.add("organization", organization)
        for owner in owners:
            self.member(identifier, owner, role)
        return identifier

    def member(self, organization: Any, user: Any, role: str = "owner") -> None:
        """Add a membership."""
        member = {"_id": self.id(), "organizationId": organization, "userId": user, "role": role}
        self.add("member", {**member, "createdAt": datetime(2025, 7, 1, tzinfo=UTC)})


def raw(document: Mapping[str, Any], *elements: bytes) -> RawBSONDocument:
    """A document with elements at its end that PyMongo itself would not write."""
    body = bson.encode(document)[4:-1] + b"".join(elements)
    whole = (len(body) + 5).to_bytes(4, "little") + body + b"\x00"
    return RawBSONDocument(whole, _LENIENT)


def invalid_text(field: str) -> bytes:
    """An element whose text is no UTF-8, which the server takes and drivers refuse to read."""
    return b"\x02" + field.encode() + b"\x00" + b"\x03\x00\x00\x00" + b"\xff\xfe\x00"
