"""What a rollback answers: plain values, the same for the console, JSON and a program.

Values hold ids, paths and counts, no personal data. What their types declare is the answer in
JSON, see :mod:`newbi_migrate.answers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError, computed_field
from pydantic.alias_generators import to_camel

from newbi_migrate.answers import HIDDEN, RunId, answer, called, told
from newbi_migrate.choices import OnConflict
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.planning.options import choose
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.runs import RunRecord, RunState, fitting

__all__ = [
    "MAX_LISTED",
    "Conflict",
    "ConflictKind",
    "Conflicts",
    "DocumentsBack",
    "Kept",
    "KeptReason",
    "RollbackOptions",
    "RollbackResult",
]

MAX_LISTED: Final = 10_000
"""Conflicts that are listed; the others are only counted, so that memory stays flat."""


@dataclass(frozen=True, slots=True)
class RollbackOptions:
    """The choices of a rollback.

    Attributes:
        on_conflict: Write nothing, keep what somebody changed, or discard the change.
        collections: Take back the documents and indexes of these collections alone.
        users: Take back these legacy users and the documents of their workspaces alone.

    Raises:
        UsageError: There is no such choice.
    """

    on_conflict: OnConflict = OnConflict.STOP
    collections: tuple[str, ...] | None = None
    users: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        choose(self, on_conflict=OnConflict)

    @property
    def whole(self) -> bool:
        """Whether everything a run wrote is taken back."""
        return self.collections is None and self.users is None

    @property
    def discards(self) -> bool:
        """Whether what somebody changed since is discarded."""
        return self.on_conflict is OnConflict.DISCARD

    @property
    def stops(self) -> bool:
        """Whether nothing is written where somebody changed something since."""
        return self.on_conflict is OnConflict.STOP


class ConflictKind(StrEnum):
    """In what way a database is no longer as the run left it."""

    CHANGED = "changed"
    ADDED = "added"
    REFUSED = "refused"
    INDEX_CHANGED = "index-changed"
    INDEX_IN_THE_WAY = "index-in-the-way"
    COLLECTION_IN_USE = "collection-in-use"
    CAME_INTO_USE = "came-into-use"

    def settled_by(self, choice: OnConflict) -> bool:
        """Whether nothing is left to decide once that choice was made."""
        if self is ConflictKind.CAME_INTO_USE:
            return False
        if choice is OnConflict.DISCARD:
            return self not in _NEVER_DISCARDED
        return choice is OnConflict.KEEP


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing that was changed since the run.

    Attributes:
        kind: In what way.
        collection: Where.
        id: ``_id`` of the document, or of one that shares its key of a unique index with another;
            ``None`` for an index or a collection alone.
        path: The field, the name of the index, or the collections that refer to the document.
    """

    kind: ConflictKind
    collection: str
    id: Any
    path: str


class Conflicts:
    """Conflicts: all counted, the first :data:`MAX_LISTED` listed."""

    def __init__(
        self, listed: Iterable[Conflict] = (), kinds: Mapping[ConflictKind, int] | None = None
    ) -> None:
        self._listed = {_key(conflict): conflict for conflict in listed}
        self.kinds: Counter[ConflictKind] = Counter(kinds or {})

    def add(self, conflict: Conflict) -> None:
        """Add a conflict, unless it is listed: a later attempt finds the same ones again."""
        if len(self._listed) < MAX_LISTED:
            key = _key(conflict)
            if key in self._listed:
                return
            self._listed[key] = conflict
        self.kinds[conflict.kind] += 1

    def __len__(self) -> int:
        return self.kinds.total()

    def __iter__(self) -> Iterator[Conflict]:
        return iter(self._listed.values())


def _key(conflict: Conflict) -> tuple[ConflictKind, str, bytes, str]:
    return conflict.kind, conflict.collection, id_key(conflict.id), conflict.path


@dataclass(slots=True)
class DocumentsBack:
    """What happens, or happened, to the documents of one collection.

    Attributes:
        restored: Documents that get, or got, back what stood there before.
        already: Documents that hold it already.
        gone: Documents that were deleted since.
        kept: Documents in which somebody's change stays.
        overwritten: Documents in which somebody's change is, or was, discarded.
    """

    restored: int = 0
    already: int = 0
    gone: int = 0
    kept: int = 0
    overwritten: int = 0


class KeptReason(StrEnum):
    """Why what was created for a legacy user stays."""

    IN_USE = "in-use"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Kept:
    """Documents created for one legacy user that stay, all of them together.

    Attributes:
        legacy_id: ``_id`` of the legacy user.
        reason: Why.
        documents: Collection to the id of each document that stays.
        references: What refers to them: collection to how often its documents name one of them.
    """

    legacy_id: Any
    reason: KeptReason
    documents: Mapping[str, Any]
    references: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RollbackResult:
    """What a rollback does, or did.

    Attributes:
        database: Name of the database.
        run_id: The run that is taken back; ``None`` where there is none.
        command: What the run was: ``migrate``, ``backfill``, ``indexes``, ``finalize`` or
            ``restore``.
        dry_run: Whether nothing was to be written.
        options: The choices.
        documents: Collection to what happens to its documents.
        deleted: Collection to the number of documents created by the run that are deleted.
        unfilled: Collection to the number of documents in which filled fields are emptied.
        kept: What was created for a legacy user and stays.
        conflicts: What was changed since the run.
        indexes_dropped: Collection and name of each index that is dropped.
        indexes_rebuilt: Collection and name of each index that is built again.
        collections_dropped: Collections the run had created, and that are empty again.
        collections_renamed: Pairs of names: what a collection was called, and is called now.
        put_aside: Collections that a restore had put in place and that others take now: the name,
            the name it is kept under, and how many documents it holds.
        sessions: Sessions that are left of users who are deleted.
        timings: Phase to seconds.
        written: Whether anything was written.
        held_back: Whether conflicts of another run, which is to go with this one, stop all.
        kept_unlisted: Users whose documents stay too, and whom the record had no room for.
        earlier: Whether the run was taken back before, and this is what its rollback had to leave.
    """

    database: str
    run_id: RunId | None
    command: str
    dry_run: bool
    options: Annotated[RollbackOptions, HIDDEN]
    documents: dict[str, DocumentsBack] = field(default_factory=dict)
    deleted: Counter[str] = field(default_factory=Counter)
    unfilled: Counter[str] = field(default_factory=Counter)
    kept: list[Kept] = field(default_factory=list)
    conflicts: Annotated[Conflicts, told(list, list[Conflict])] = field(default_factory=Conflicts)
    indexes_dropped: list[tuple[str, str]] = field(default_factory=list)
    indexes_rebuilt: list[tuple[str, str]] = field(default_factory=list)
    collections_dropped: list[str] = field(default_factory=list)
    collections_renamed: list[tuple[str, str]] = field(default_factory=list)
    put_aside: list[tuple[str, str, int]] = field(default_factory=list)
    sessions: Annotated[int, called("sessionsLeft")] = 0
    timings: dict[str, float] = field(default_factory=dict)
    written: Annotated[bool, HIDDEN] = False
    held_back: Annotated[bool, HIDDEN] = False
    kept_unlisted: int = 0
    earlier: bool = False

    @computed_field
    @property
    def on_conflict(self) -> OnConflict:
        """What was chosen about conflicts."""
        return self.options.on_conflict

    @computed_field
    @property
    def collections(self) -> tuple[str, ...] | None:
        """The collections that alone are taken back; ``None`` for all."""
        return self.options.collections

    @computed_field
    @property
    def users(self) -> tuple[str, ...] | None:
        """The legacy users who alone are taken back; ``None`` for all."""
        users = self.options.users
        return None if users is None else tuple(map(str, users))

    @computed_field
    @property
    def conflict_count(self) -> int:
        """How many conflicts there are, listed or not."""
        return len(self.conflicts)

    @computed_field
    @property
    def refused(self) -> bool:
        """Whether nothing is written, because somebody's changes are in the way."""
        stopped = bool(len(self.conflicts)) and self.options.stops and not self.written
        return self.held_back or stopped

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """0 where it does what the choice about conflicts says, also where that keeps something.

        A change that ``stop`` finds ends it with 8. Where it had to leave something that nobody
        had said could stay, it ends with 3: with ``stop``, what is in use, and a change that came
        after the first look; with ``discard``, a change that cannot be discarded.
        """
        if self.refused:
            return ExitCode.ROLLBACK_CONFLICTS
        if self.earlier:
            return ExitCode.PENDING
        left = self.unresolved or (self.options.stops and self.kept)
        return ExitCode.PENDING if left else ExitCode.DONE

    @property
    def unresolved(self) -> int:
        """Conflicts that the choice about them does not settle."""
        return sum(
            number
            for kind, number in self.conflicts.kinds.items()
            if not kind.settled_by(self.options.on_conflict)
        )

    @classmethod
    def earlier_of(
        cls, database: str, run: RunRecord, options: RollbackOptions, *, dry_run: bool
    ) -> RollbackResult | None:
        """What the rollback of a run that was taken back had to leave, as its record says.

        Args:
            database: Name of the database.
            run: The run.
            options: The choices of the rollback that names it.
            dry_run: Whether that one is to write nothing.

        Returns:
            ``None`` where the run is in place, its rollback ended with 0, or what is in use or was
            changed is to be kept.

        Raises:
            DamagedRecordsError: The record is not what this tool writes.
        """
        found = run.document.get("rollback")
        if run.state is not RunState.ROLLED_BACK or not found:
            return None
        try:
            (recorded,) = _RECORDED.validate_python([found])
        except ValidationError:
            raise run.damaged() from None
        if recorded.exit_code not in (ExitCode.DONE, ExitCode.PENDING):
            raise run.damaged()
        if recorded.exit_code is not ExitCode.PENDING or options.on_conflict is OnConflict.KEEP:
            return None
        chosen = RollbackOptions(recorded.on_conflict)
        result = cls(database, run.run_id, run.command, dry_run, chosen, kept=recorded.kept)
        result.kept_unlisted = max(recorded.kept_count - len(recorded.kept), 0)
        result.conflicts = Conflicts(recorded.conflicts, recorded.conflict_kinds)
        result.written = result.earlier = True
        return result

    def begin_with(self, run: RunRecord, earlier: RollbackResult | None) -> None:
        """Take over what earlier attempts did and found; this attempt cannot find it again.

        Args:
            run: The run, whose record keeps what a rollback met that was interrupted.
            earlier: What an earlier attempt of the same call told, if there was one.

        Raises:
            DamagedRecordsError: The record is not what this tool writes.
        """
        try:
            noted = _CONFLICTS.validate_python(run.document.get("cameIntoUse", []))
        except ValidationError:
            raise run.damaged() from None
        for conflict in (*noted, *(earlier.conflicts if earlier else ())):
            discarded = self.options.discards and conflict.kind not in _NEVER_DISCARDED
            if discarded or conflict.kind is ConflictKind.CAME_INTO_USE:
                self.conflicts.add(conflict)
        if earlier is None:
            return
        for name, back in earlier.documents.items():
            self.documents[name] = DocumentsBack(
                restored=back.restored, overwritten=back.overwritten
            )
        self.deleted.update(earlier.deleted)
        self.unfilled.update(earlier.unfilled)
        self.indexes_dropped.extend(earlier.indexes_dropped)
        self.indexes_rebuilt.extend(earlier.indexes_rebuilt)
        self.collections_dropped.extend(earlier.collections_dropped)
        self.collections_renamed.extend(earlier.collections_renamed)

    def came_into_use(self) -> list[Mapping[str, Any]]:
        """What the run's record keeps of that until the rollback has ended."""
        found = (each for each in self.conflicts if each.kind is ConflictKind.CAME_INTO_USE)
        return fitting(map(answer, found))

    def to_record(self) -> dict[str, Any]:
        """What the run's record keeps of a rollback."""
        said = answer(self)
        return {
            **{name: said[name] for name in ("onConflict", "deleted", "unfilled", "sessionsLeft")},
            "conflicts": fitting(said["conflicts"]),
            "conflictCount": said["conflictCount"],
            "conflictKinds": {kind.value: n for kind, n in self.conflicts.kinds.items()},
            "kept": fitting(said["kept"]),
            "keptCount": len(self.kept),
            "documents": [{"collection": n, **counts} for n, counts in said["documents"].items()],
            "indexesDropped": said["indexesDropped"],
            "exitCode": said["exitCode"],
        }


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What is read again of what a record keeps of a rollback."""

    exit_code: ExitCode
    on_conflict: OnConflict
    kept: list[Kept]
    kept_count: int
    conflicts: list[Conflict]
    conflict_kinds: dict[ConflictKind, int]


# A dataclass takes its configuration from what it stands in.
_CONFIG: Final = ConfigDict(alias_generator=to_camel, arbitrary_types_allowed=True)
_RECORDED: Final = TypeAdapter(list[_Recorded], config=_CONFIG)
_CONFLICTS: Final = TypeAdapter(list[Conflict], config=_CONFIG)

# The server refuses these, or dropping them would lose what people wrote since.
_NEVER_DISCARDED: Final = frozenset(
    {ConflictKind.REFUSED, ConflictKind.INDEX_CHANGED, ConflictKind.COLLECTION_IN_USE}
)
