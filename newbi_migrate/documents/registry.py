"""The registry: each collection described once, as data.

Backup, plan, apply, validate, rollback and reports are all driven by a :class:`Registry`, so
an application with other collections and other field names brings its own and changes no code.
This module knows no collection by name; Newbi's own are in :mod:`newbi_migrate.documents.newbi`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from newbi_migrate.documents.better_auth import COLLECTIONS as BETTER_AUTH_COLLECTIONS
from newbi_migrate.errors import UsageError

if TYPE_CHECKING:
    from newbi_migrate.documents.base import DocumentModel

__all__ = [
    "OWN_PREFIX",
    "CollectionSpec",
    "IdType",
    "IndexSpec",
    "ParentLink",
    "Registry",
    "UniqueKey",
]


OWN_PREFIX: Final = "newbi_migrate_"
"""What the names of the tool's own collections begin with."""


class IdType(StrEnum):
    """BSON type in which a collection stores the id of its workspace.

    The values are MongoDB's own aliases for the ``$type`` operator.
    """

    OBJECT_ID = "objectId"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """One index, by its key pattern and options.

    Attributes:
        keys: Field and direction (``1``, ``-1`` or ``"text"``), in order.
        unique: Whether the server refuses a second document with equal keys.
        sparse: Whether documents without any of the keys are left out.
        partial: ``partialFilterExpression``; ``None`` where there is none.
        name: MongoDB's default name unless another is given.
    """

    keys: tuple[tuple[str, int | str], ...]
    unique: bool = False
    sparse: bool = False
    partial: Mapping[str, Any] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            derived = "_".join(f"{path}_{direction}" for path, direction in self.keys)
            object.__setattr__(self, "name", derived)

    @property
    def is_text(self) -> bool:
        """Whether this is a text index, of which a collection can have only one."""
        return any(direction == "text" for _, direction in self.keys)


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A uniqueness the application relies on once documents carry a workspace.

    Attributes:
        index: The unique index that enforces it.
        derived: For key fields a legacy document may lack, the aggregation expression that
            gives the value the application would write there. It is used to preview
            collisions, never to write.
    """

    index: IndexSpec
    derived: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParentLink:
    """A child document follows the workspace of the document it belongs to.

    Attributes:
        field: Field of the child that holds the parent's ``_id``; of a companion it may be a
            dotted path.
        collection: Name of the parent's collection.
    """

    field: str
    collection: str


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Everything the migration knows about one collection.

    Attributes:
        name: The real MongoDB collection name.
        owner_field: Field with the id of the user the document belongs to; ``None`` where
            documents name no owner.
        workspace_type: BSON type of the workspace id; ``None`` for a collection that is not
            scoped by workspace and whose owner fields only follow an alias.
        parent: Where the workspace is inherited from, before the owner is asked.
        companions: Documents that one of these refers to and shares its workspace with, without
            belonging to them.
        alias_fields: Further fields that name a user and follow an alias beside
            ``owner_field``.
        unique_keys: Uniqueness that must hold after the migration.
        indexes: Non-unique indexes the application wants after the migration.
        obsolete: Unique or text indexes of the old structure that hinder the new one.
        scoped_since: The day the application began to write workspaces here.
        critical: Whether a backup also exports the collection as Extended JSON.
        model: The document model, where there is one.
    """

    name: str
    owner_field: str | None
    workspace_type: IdType | None
    parent: ParentLink | None = None
    companions: tuple[ParentLink, ...] = ()
    alias_fields: tuple[str, ...] = ()
    unique_keys: tuple[UniqueKey, ...] = ()
    indexes: tuple[IndexSpec, ...] = ()
    obsolete: tuple[IndexSpec, ...] = ()
    scoped_since: date | None = None
    critical: bool = False
    model: type[DocumentModel] | None = None

    @property
    def scoped(self) -> bool:
        """Whether documents of this collection carry a workspace id."""
        return self.workspace_type is not None

    @property
    def wanted_indexes(self) -> tuple[IndexSpec, ...]:
        """All indexes the application wants after the migration: the unique ones first."""
        return (*(key.index for key in self.unique_keys), *self.indexes)

    @property
    def user_fields(self) -> tuple[str, ...]:
        """All fields that hold a user's id: the owner field first, then the alias fields."""
        owner = () if self.owner_field is None else (self.owner_field,)
        return owner + self.alias_fields


class Registry:
    """An ordered set of collections, parents before their children.

    Args:
        collections: One :class:`CollectionSpec` each; names must be distinct.
        workspace_field: Name of the field that scopes a document.
        legacy_candidates: Exact names under which the legacy users may be found.

    Raises:
        UsageError: It asks for what a migration cannot do; the sentence says which collection
            and field or index.
    """

    def __init__(
        self,
        collections: Iterable[CollectionSpec],
        *,
        workspace_field: str = "workspaceId",
        legacy_candidates: tuple[str, ...] = ("Users", "users"),
    ) -> None:
        self.workspace_field = workspace_field
        self.legacy_candidates = legacy_candidates
        self._specs: dict[str, CollectionSpec] = {}
        pending = list(collections)
        _refuse_repeated(pending)
        _refuse_fields([("workspace_field", workspace_field)])
        _refuse_legacy_candidates(legacy_candidates)
        for spec in pending:
            _refuse_name(spec, legacy_candidates)
            _refuse_fields(_fields_of(spec), of=spec.name)
            _refuse_one_field_twice(spec, workspace_field)
            _refuse_indexes(spec)
        while pending:
            ready = [s for s in pending if s.parent is None or s.parent.collection in self._specs]
            if not ready:
                stuck = ", ".join(sorted(s.name for s in pending))
                raise UsageError(
                    f"The parents of {stuck} are not registered or form a circle.",
                    next_step="Register the parent collection, or remove the link.",
                )
            for spec in ready:
                self._specs[spec.name] = spec
                _refuse_parent(spec, self._specs)
            pending = [s for s in pending if s.name not in self._specs]

    def __iter__(self) -> Iterator[CollectionSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __getitem__(self, name: str) -> CollectionSpec:
        try:
            return self._specs[name]
        except KeyError:
            known = ", ".join(sorted(self._specs))
            raise UsageError(
                f"The registry has no collection {name!r}.", next_step=f"It knows {known}."
            ) from None

    @property
    def scoped(self) -> tuple[CollectionSpec, ...]:
        """The collections whose documents carry a workspace id, parents first."""
        return tuple(spec for spec in self if spec.scoped)

    def only(self, names: Iterable[str]) -> Registry:
        """A registry of the named collections alone; their parents stay known as links.

        Raises:
            UsageError: A name is not registered.
        """
        wanted = [self[name] for name in names]
        chosen = {spec.name for spec in wanted}
        return _detached(self, [spec for spec in self if spec.name in chosen])

    def extended(self, *collections: CollectionSpec) -> Registry:
        """This registry with the given collections added, or replaced where the name is known."""
        merged = {spec.name: spec for spec in self}
        merged.update({spec.name: spec for spec in collections})
        return Registry(
            merged.values(),
            workspace_field=self.workspace_field,
            legacy_candidates=self.legacy_candidates,
        )

    def as_of(self, day: date) -> Registry:
        """The registry of the application as it was on ``day``.

        A collection that became scoped later is kept with ``workspace_type=None``: its owner
        fields still follow an alias, and its children follow their owners.
        """
        later = {spec.name for spec in self if spec.scoped and (spec.scoped_since or day) > day}
        return Registry(
            [_before_its_day(spec) if spec.name in later else _apart(spec, later) for spec in self],
            workspace_field=self.workspace_field,
            legacy_candidates=self.legacy_candidates,
        )


def _detached(registry: Registry, specs: list[CollectionSpec]) -> Registry:
    # A partial registry may hold a child without its parent; the link itself stays valid,
    # because the parent's documents are read from the database and not from the registry.
    partial = Registry(
        [],
        workspace_field=registry.workspace_field,
        legacy_candidates=registry.legacy_candidates,
    )
    partial._specs = {spec.name: spec for spec in specs}  # noqa: SLF001  # of this very class
    return partial


def _before_its_day(spec: CollectionSpec) -> CollectionSpec:
    return replace(
        spec,
        workspace_type=None,
        parent=None,
        companions=(),
        unique_keys=(),
        indexes=(),
        obsolete=(),
    )


def _apart(spec: CollectionSpec, others: set[str]) -> CollectionSpec:
    """A collection without its links to some others."""
    return replace(
        spec,
        parent=None if spec.parent is None or spec.parent.collection in others else spec.parent,
        companions=tuple(link for link in spec.companions if link.collection not in others),
    )


def _fields_of(spec: CollectionSpec) -> Iterator[tuple[str, str]]:
    """The fields a run reads or writes in a collection, each with the attribute that names it."""
    if spec.owner_field is not None:
        yield "owner_field", spec.owner_field
    for name in spec.alias_fields:
        yield "alias_fields", name
    if spec.parent is not None:
        yield "parent", spec.parent.field


def _refuse_repeated(specs: list[CollectionSpec]) -> None:
    names = [spec.name for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"The registry describes {', '.join(twice)} more than once.",
            next_step="Keep one description for each collection.",
        )


def _refuse_legacy_candidates(names: tuple[str, ...]) -> None:
    for name in names:
        if not name or name in BETTER_AUTH_COLLECTIONS or name.startswith(("system.", OWN_PREFIX)):
            raise UsageError(
                f"The legacy users cannot be in {name!r}: the name is empty or reserved.",
                next_step="Name the old collection in legacy_candidates.",
            )


def _refuse_name(spec: CollectionSpec, legacy_candidates: tuple[str, ...]) -> None:
    name = spec.name
    if not name or "$" in name or "\0" in name:
        reason = "no collection can have that name"
    elif name in BETTER_AUTH_COLLECTIONS:
        reason = "it is one of Better Auth's collections, which a run writes by itself"
    elif name.startswith("system."):
        reason = "it is one of the server's own collections"
    elif name.startswith(OWN_PREFIX):
        reason = "it is one of this tool's own collections"
    elif name in legacy_candidates:
        reason = "it may hold the legacy users, which a run never changes"
    else:
        return
    raise UsageError(
        f"The registry cannot describe {name!r}: {reason}.",
        next_step="Leave it out, or register the collection that holds the business documents.",
    )


def _refuse_fields(fields: Iterable[tuple[str, str]], *, of: str = "") -> None:
    where = f" of {of!r}" if of else ""
    for attribute, name in fields:
        if not name:
            problem = "is empty"
        elif name.startswith("$") or "\0" in name:
            problem = "is not a name that a field can have"
        elif "." in name:
            # A rollback could not tell whether the run made the embedded document around it.
            problem = "is a path into an embedded document"
        elif name == "_id" and attribute != "parent":
            problem = "can never be changed in a stored document"
        else:
            continue
        raise UsageError(
            f"The {attribute}{where} is {name!r}, which {problem}.",
            next_step="Name a top-level field of the documents.",
        )


def _refuse_one_field_twice(spec: CollectionSpec, workspace_field: str) -> None:
    roles = [*spec.user_fields, workspace_field]
    for name in spec.user_fields:
        if roles.count(name) > 1:
            raise UsageError(
                f"The field {name!r} of {spec.name!r} has two roles among owner_field, "
                "alias_fields and workspace_field.",
                next_step="Name each field once.",
            )


def _refuse_indexes(spec: CollectionSpec) -> None:
    """Fail where no server could hold all the wanted indexes, each under its own name."""
    earlier: list[IndexSpec] = []
    for index in spec.wanted_indexes:
        if not index.keys:
            problem = "has no keys"
        elif index.name == "_id_":
            problem = "has the name of the index that each collection has by itself"
        elif any(index.name == other.name for other in earlier):
            # What becomes of an index is noted under its name.
            problem = "has the name of another one"
        elif any(index == replace(other, name=index.name) for other in earlier):
            problem = "is another one under a second name"
        elif index.is_text and any(other.is_text for other in earlier):
            problem = "is a second text index, and a collection can have one"
        elif not _is_filter(index.partial or {}):
            problem = "has a partial filter that is none"
        else:
            earlier.append(index)
            continue
        raise UsageError(
            f"The index {index.name!r} of {spec.name!r} {problem}.",
            next_step="Correct it in the registry; a name is derived from the keys if none is "
            "given.",
        )
    for key in spec.unique_keys:
        strange = sorted(set(key.derived) - {path for path, _ in key.index.keys})
        if strange:
            raise UsageError(
                f"The index {key.index.name!r} of {spec.name!r} derives {', '.join(strange)}, "
                "which is none of its keys.",
                next_step="Derive values only for fields of the key.",
            )


def _is_filter(partial: Mapping[str, Any]) -> bool:
    """Whether the operators around the conditions of a filter are such that a server takes them.

    The conditions themselves are the server's to judge: each version takes more.
    """
    return all(
        not path.startswith("$")
        or (
            path in {"$and", "$or"}
            and isinstance(parts, list | tuple)
            and bool(parts)
            and all(isinstance(part, Mapping) and _is_filter(part) for part in parts)
        )
        for path, parts in partial.items()
    )


def _refuse_parent(spec: CollectionSpec, known: Mapping[str, CollectionSpec]) -> None:
    if spec.parent is None:
        return
    parent = known[spec.parent.collection]
    if parent.parent is not None:
        # What a parent inherits is not known before it is written.
        raise UsageError(
            f"The parent of {spec.name!r} is {parent.name!r}, which has a parent itself.",
            next_step=f"Link {spec.name!r} to {parent.parent.collection!r}, or leave its parent "
            "out: then its documents follow their owner.",
        )
    if not parent.scoped:
        raise UsageError(
            f"The parent of {spec.name!r} is {parent.name!r}, whose documents get no workspace.",
            next_step=f"Give {parent.name!r} a workspace_type, or leave the parent out.",
        )
