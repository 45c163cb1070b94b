"""What the use-cases answer: plain values, the same for the console, JSON and a program.

Values hold ids, counts and reasons, no personal data. What their types declare is the answer in
JSON, see :mod:`newbi_migrate.answers`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final, Self

from bson import ObjectId
from pydantic import computed_field

from newbi_migrate.answers import HIDDEN, RunId, called, told
from newbi_migrate.documents.registry import IndexSpec
from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.decisions import Decisions, Outcome, UserDecision
from newbi_migrate.mapping.ids import account_id, member_id
from newbi_migrate.mapping.packed import IdColumn, Interned, PackedSequence
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass, Workspaces
from newbi_migrate.migration.planning.codes import RuledFinding, with_rules
from newbi_migrate.migration.planning.digests import Digests
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.raw import pack_ids, unpack_ids

__all__ = [
    "NOT_PLAIN",
    "SAYING_NOTHING",
    "CollectionSummary",
    "Findings",
    "IndexAction",
    "IndexDecision",
    "Plan",
    "PlannedCollision",
    "Quarantine",
    "QuarantinedDocument",
    "RunResult",
    "UserLine",
    "UserLines",
]


NOT_PLAIN: Final[Mapping[str, str]] = {
    "view": "collection-is-a-view",
    "timeseries": "collection-is-a-time-series",
}
"""Kind of a registered collection whose documents cannot be updated to the code of its finding."""

SAYING_NOTHING: Final = {WorkspaceClass.MISSING, WorkspaceClass.NULL, WorkspaceClass.BLANK}
"""What a stored workspace is called where a document has none."""


@dataclass(frozen=True, slots=True)
class QuarantinedDocument:
    """A document that was left as it is, and why.

    Attributes:
        collection: Where it is.
        id: Its ``_id``.
        path: The field that could not be resolved.
        reason: Why.
        user: Legacy id of the quarantined user it belongs to; ``None`` if it belongs to none.
    """

    collection: str
    id: Any
    path: str
    reason: Reason
    user: Any = None


class Quarantine:
    """The quarantined documents, packed: twelve bytes for each.

    Iterating gives one :class:`QuarantinedDocument` after the other.
    """

    def __init__(self) -> None:
        # The last part of a key stands for the user.
        self._groups: dict[tuple[str, str, Reason, bytes], list[Any]] = {}
        self._users: dict[bytes, Any] = {b"": None}
        self._count = 0

    def add(
        self, collection: str, path: str, reason: Reason, ids: Sequence[Any], user: Any = None
    ) -> None:
        """Add documents that share a reason, and the quarantined user they belong to if any."""
        if ids:
            whose = b"" if user is None else id_key(user)
            self._users.setdefault(whose, user)
            self._groups.setdefault((collection, path, reason, whose), []).append(pack_ids(ids))
            self._count += len(ids)

    def extend(self, other: Quarantine) -> None:
        """Add all documents of another list."""
        for key, packs in other._groups.items():
            self._groups.setdefault(key, []).extend(packs)
        self._users |= other._users
        self._count += other._count

    def of(self, collection: str) -> Quarantine:
        """The documents of one collection."""
        return self._part(key for key in self._groups if key[0] == collection)

    def of_reason(self, reason: Reason) -> Quarantine:
        """The documents that share a reason."""
        return self._part(key for key in self._groups if key[2] is reason)

    def _part(self, keys: Iterable[tuple[str, str, Reason, bytes]]) -> Quarantine:
        part = Quarantine()
        part._groups = {key: list(self._groups[key]) for key in keys}  # of this very class
        part._users = self._users
        part._count = sum(map(_size, part._groups.values()))
        return part

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[QuarantinedDocument]:
        for (collection, path, reason, whose), packs in sorted(
            self._groups.items(), key=lambda item: (*map(str, item[0][:3]), item[0][3])
        ):
            user = self._users[whose]
            for pack in packs:
                for identifier in unpack_ids(pack):
                    yield QuarantinedDocument(collection, identifier, path, reason, user)

    def first(self, number: int) -> Iterator[QuarantinedDocument]:
        """The first documents of each collection, path, reason and user."""
        for (collection, path, reason, whose), packs in self._groups.items():
            ids = (identifier for pack in packs for identifier in unpack_ids(pack))
            for identifier in islice(ids, number):
                yield QuarantinedDocument(collection, identifier, path, reason, self._users[whose])

    def counts(self) -> Counter[tuple[str, Reason]]:
        """How many documents for each collection and reason."""
        found: Counter[tuple[str, Reason]] = Counter()
        for (name, _, reason, _), packs in self._groups.items():
            found[name, reason] += _size(packs)
        return found

    def of_users(self) -> dict[bytes, Counter[str]]:
        """Key of each quarantined user to how many documents of each collection are theirs."""
        found: dict[bytes, Counter[str]] = {}
        for (name, _, _, whose), packs in self._groups.items():
            if whose:
                found.setdefault(whose, Counter())[name] += _size(packs)
        return found


def _size(packs: Iterable[Any]) -> int:
    return sum(map(len, map(unpack_ids, packs)))


def _sorted(counts: Counter[WorkspaceClass]) -> dict[WorkspaceClass, int]:
    return dict(sorted(counts.items()))


@dataclass(slots=True)
class CollectionSummary:
    """What happens, or happened, to the documents of one collection.

    Attributes:
        name: The collection.
        documents: How many there are; after a run, without documents that came too late for it.
        classes: What their stored workspace ids were worth.
        stamped: Documents that get, or got, a workspace.
        owners_rewritten: Documents of which a user field followed an alias.
        kept: Documents that are right already.
        quarantined: Documents left as they are, with their reasons in the quarantine.
        quarantined_without: Those of them that have no workspace.
    """

    name: Annotated[str, HIDDEN]
    documents: int = 0
    classes: Annotated[Counter[WorkspaceClass], told(_sorted, dict[WorkspaceClass, int])] = field(
        default_factory=Counter
    )
    stamped: int = 0
    owners_rewritten: int = 0
    kept: int = 0
    quarantined: int = 0
    quarantined_without: Annotated[int, HIDDEN] = 0

    @property
    def pending(self) -> int:
        """Documents something is written to."""
        return self.documents - self.kept - self.quarantined

    @property
    def without_workspace(self) -> int:
        """Documents that had no workspace."""
        return sum(self.classes[one] for one in SAYING_NOTHING)


@dataclass(frozen=True, slots=True)
class UserLine:
    """One decision about a legacy user, and the documents it leads to.

    Attributes:
        legacy_id: ``_id`` of the legacy user.
        outcome: What happens.
        reason: Why they are quarantined, or ``None``.
        user_id: Id under which they are known afterwards.
        workspace: Their workspace.
        creates: Collection to the id of each document that is created.
        fills: Collection to the number of missing fields that are filled in.
    """

    legacy_id: Any
    outcome: Outcome
    reason: Reason | None
    user_id: ObjectId | None
    workspace: Annotated[ObjectId | None, called("workspaceId")]
    creates: Mapping[str, ObjectId] = field(default_factory=dict)
    fills: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        decision: UserDecision,
        creates: Mapping[str, ObjectId],
        fills: Mapping[str, int],
    ) -> Self:
        """The line of a decision, with what it leads to."""
        return cls(
            decision.legacy_id,
            decision.outcome,
            decision.reason,
            decision.user_id,
            decision.workspace,
            creates,
            fills,
        )

    @property
    def writes(self) -> bool:
        """Whether anything is written for them."""
        return bool(self.creates or self.fills)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What few lines differ in: which documents are created, and how many fields are filled."""

    creates: tuple[str, ...]
    fills: tuple[tuple[str, int], ...]


class UserLines(PackedSequence[UserLine]):
    """The lines of a plan, packed: the decisions, and what follows from each.

    Args:
        decisions: What was decided about each legacy user.
    """

    def __init__(self, decisions: Decisions) -> None:
        self.decisions = decisions
        self.outcomes: Counter[Outcome] = Counter()
        self.pending = False
        self._positions = array("I")
        self._shapes: Interned[_Shape] = Interned()
        # Ids of created documents that do not follow from the user's id.
        self._odd: dict[int, Mapping[str, ObjectId]] = {}

    def append(self, line: UserLine) -> None:
        """Add the line of a user about whom a decision was taken."""
        shape = _Shape(tuple(line.creates), tuple(line.fills.items()))
        if line.creates != _created(shape, line.user_id, line.workspace):
            self._odd[len(self)] = line.creates
        self._positions.append(self.decisions.position(line.legacy_id))
        self._shapes.append(shape)
        self.outcomes[line.outcome] += 1
        self.pending = self.pending or line.writes

    @property
    def odd_users(self) -> dict[bytes, Any]:
        """Keys of legacy ids that are no ObjectIds, to these ids."""
        return {id_key(identifier): identifier for identifier in self.decisions.other_ids()}

    def __len__(self) -> int:
        return len(self._positions)

    def at(self, position: int) -> UserLine:
        """The line at a position."""
        decision = self.decisions.at(self._positions[position])
        shape = self._shapes.at(position)
        creates = self._odd.get(position)
        if creates is None:
            creates = _created(shape, decision.user_id, decision.workspace)
        return UserLine.of(decision, creates, dict(shape.fills))


def _created(
    shape: _Shape, user_id: ObjectId | None, workspace: ObjectId | None
) -> dict[str, ObjectId]:
    """The ids of created documents, as they follow from a user's id."""
    if user_id is None or not shape.creates:
        return {}
    ids = {
        "user": user_id,
        "account": account_id(user_id),
        "organization": workspace,
        "member": member_id(user_id),
    }
    return {name: found for name in shape.creates if (found := ids[name]) is not None}


class Findings(PackedSequence[Finding]):
    """Findings, packed: twelve bytes and a code for each.

    Args:
        findings: The first ones.
    """

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._ids = IdColumn()
        self._kinds: Interned[tuple[str, str, str]] = Interned()
        self.extend(findings)

    @property
    def kinds(self) -> Sequence[tuple[str, str, str]]:
        """Code, collection and path, each combination once."""
        return self._kinds.values

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings at the end."""
        for finding in findings:
            self.append(finding)

    def append(self, finding: Finding) -> None:
        """Add a finding at the end."""
        self._ids.append(finding.id)
        self._kinds.append((finding.code, finding.collection, finding.path))

    def __len__(self) -> int:
        return len(self._ids)

    def at(self, position: int) -> Finding:
        """The finding at a position."""
        code, collection, path = self._kinds.at(position)
        return Finding(code, collection, self._ids.at(position), path)


class IndexAction(StrEnum):
    """What happens to an index."""

    CREATE = "create"
    PRESENT = "present"
    DEFERRED = "deferred"
    """It takes the place of one of the old structure, and is built when that one is dropped."""
    CONFLICT = "conflict"
    COLLISION = "collision"
    OBSOLETE = "obsolete"

    @property
    def blocked(self) -> bool:
        """Whether the index cannot be built before a person has put something right."""
        return self in (IndexAction.CONFLICT, IndexAction.COLLISION)


@dataclass(frozen=True, slots=True)
class IndexDecision:
    """One index and what happens to it.

    Attributes:
        collection: Where.
        spec: The index.
        action: What happens.
        reason: Why it is not created, in one sentence; empty otherwise.
    """

    collection: str
    spec: Annotated[IndexSpec, HIDDEN]
    action: IndexAction
    reason: str = ""

    @computed_field
    @property
    def name(self) -> str:
        """Name of the index."""
        return self.spec.name

    @computed_field
    @property
    def keys(self) -> tuple[tuple[str, Any], ...]:
        """Its keys, each with its direction."""
        return self.spec.keys

    @computed_field
    @property
    def unique(self) -> bool:
        """Whether it is unique."""
        return self.spec.unique


def _sharers(documents: tuple[tuple[Any, Any], ...]) -> list[dict[str, Any]]:
    return [{"id": identifier, "user": user} for identifier, user in documents]


@dataclass(frozen=True, slots=True)
class PlannedCollision:
    """A collision as the plan lists it, with the quarantined users its documents belong to.

    Attributes:
        collection: Where.
        index: Name of the unique index.
        count: How many documents they are.
        documents: Each with the legacy id of the quarantined user it belongs to, ``None`` if it
            belongs to none; of very many the first and the last alone.
        in_no_workspace: Whether they have no workspace after the run, so that they stop being in
            each other's way once they have.
        later: Whether they share it only once the application has added what they lack, so that
            the index can be built.
    """

    collection: str
    index: str
    count: int
    documents: Annotated[tuple[tuple[Any, Any], ...], told(_sharers, list[dict[str, Any]])]
    in_no_workspace: bool = False
    later: bool = False


ListedQuarantine = Annotated[Quarantine, told(list, list[QuarantinedDocument])]
ListedFindings = Annotated[Findings, told(with_rules, list[RuledFinding])]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run would do, decided.

    Attributes:
        database: Name of the database.
        source: Name of the legacy users' collection.
        options: The choices it was made with.
        users: One line for each legacy user.
        collections: What happens to the documents of each registered collection.
        quarantine: Users and documents that are left as they are.
        findings: What else a person should know.
        indexes: What happens to each index.
        collisions: Documents that would break a unique key.
        not_registered: Collections that nobody described, neither the registry nor Better Auth, to
            their number of documents; a time series, which is not counted, to ``None``.
        workspaces: Who is who afterwards.
        digests: Digests of all that is written or quarantined, by section.
        unrecorded: Whether users or documents are quarantined that no run has recorded so, or
            a user went back with a part of a run and no run has recorded them since.
    """

    database: str
    source: str
    options: Annotated[
        MigrationOptions, called("policy"), told(MigrationOptions.policy, dict[str, Any])
    ]
    users: Annotated[UserLines, told(list, list[UserLine])]
    collections: Mapping[str, CollectionSummary]
    quarantine: ListedQuarantine
    findings: ListedFindings
    indexes: tuple[IndexDecision, ...]
    collisions: tuple[PlannedCollision, ...]
    not_registered: Mapping[str, int | None]
    workspaces: Annotated[Workspaces, HIDDEN]
    digests: Annotated[Digests, told(Digests.to_json, dict[str, str])]
    unrecorded: Annotated[bool, HIDDEN] = False

    @property
    def unwritable(self) -> frozenset[str]:
        """The registered collections whose documents cannot be updated: views and time series."""
        codes = NOT_PLAIN.values()
        return frozenset(name for code, name, _ in self.findings.kinds if code in codes)

    @computed_field
    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many legacy users for each outcome."""
        return {outcome: self.users.outcomes[outcome] for outcome in Outcome}

    @computed_field
    @property
    def pending(self) -> bool:
        """Whether a run has anything left to do: to write, or to record what it decides."""
        return self.writes or self.unrecorded

    @property
    def writes(self) -> bool:
        """Whether anything of the database is left to write."""
        return (
            self.users.pending
            or any(summary.pending for summary in self.collections.values())
            or any(decision.action is IndexAction.CREATE for decision in self.indexes)
        )

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """5 if something is quarantined or an index cannot be built, else 0."""
        return exit_code_of(self.quarantine, self.indexes)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did.

    Attributes:
        run_id: The run; ``None`` where there was nothing to do.
        resumed: Whether it finished a run that had been interrupted.
        plan: What it followed.
        outcomes: How many legacy users for each outcome, those of attempts before an interruption
            included.
        collections: What happened to the documents.
        quarantine: What was left as it is.
        findings: What else a person should know.
        indexes: What happened to the indexes.
        created: Collection to the number of documents created for users.
        filled: Collection to the number of documents in which missing fields were filled.
        timings: Phase to seconds.
        pending: Collection to the number of documents that came so late, again and again, that
            the run ended without them.
    """

    run_id: RunId | None
    resumed: bool
    plan: Annotated[Plan, HIDDEN]
    outcomes: Mapping[Outcome, int]
    collections: Mapping[str, CollectionSummary]
    quarantine: ListedQuarantine
    findings: ListedFindings
    indexes: tuple[IndexDecision, ...]
    created: Mapping[str, int]
    filled: Mapping[str, int]
    timings: Mapping[str, float]
    pending: Mapping[str, int] = field(default_factory=dict)

    @computed_field
    @property
    def database(self) -> str:
        """Name of the database."""
        return self.plan.database

    @computed_field
    @property
    def source(self) -> str:
        """Name of the legacy users' collection."""
        return self.plan.source

    @computed_field
    @property
    def policy(self) -> dict[str, Any]:
        """The choices it was made with."""
        return self.plan.options.policy()

    @computed_field
    @property
    def not_registered(self) -> Mapping[str, int | None]:
        """Collections that nobody described, to their number of documents.

        A time series, which is not counted, to ``null``.
        """
        return self.plan.not_registered

    @computed_field
    @property
    def collisions(self) -> tuple[PlannedCollision, ...]:
        """Documents that would break a unique key."""
        return self.plan.collisions

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """3 if documents are still pending, 5 if something is quarantined, else 0."""
        if self.pending:
            return ExitCode.PENDING
        return exit_code_of(self.quarantine, self.indexes)


def exit_code_of(quarantine: Quarantine, indexes: Sequence[IndexDecision]) -> ExitCode:
    """The exit code of a run with that quarantine and those indexes."""
    if len(quarantine) or any(decision.action.blocked for decision in indexes):
        return ExitCode.QUARANTINED
    return ExitCode.DONE
