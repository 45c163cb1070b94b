"""Saved plans: written and read line by line, and compared with what the database gives now.

A saved plan is one JSON document with a line for each decision. It holds what a run must do,
decisions and digests; what else a plan has to tell is the matter of its reports. A checksum at
its end covers every line before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TextIO, TypeVar

from bson import ObjectId, json_util
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from newbi_migrate.answers import answer
from newbi_migrate.errors import DatabaseMovedOnError, LocalFileError, UsageError
from newbi_migrate.local_files import is_there, opened_for
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.packed import PackedIds
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass
from newbi_migrate.migration.planning.digests import USERS, Digests
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.results import Plan, UserLine
from newbi_migrate.migration.run.finishing import finishing
from newbi_migrate.store.runs import RunRecord

__all__ = [
    "PLAN_FORMAT",
    "SavedDecision",
    "SavedOwner",
    "SavedPlan",
    "load_plan",
    "may_be_replaced",
    "plan_lines",
    "refuse_if_moved_on",
    "refuse_other_choices",
    "refuse_other_database",
    "refuse_other_file",
    "refuse_other_plan",
]

PLAN_FORMAT: Final = "newbi-migrate plan 2"

_ANY_FORMAT: Final = '{"format": "newbi-migrate plan '
_LONGEST_LINE: Final = 64 * 1024 * 1024
_ADVICE: Final = "Make one with: newbi-migrate plan --output FILE."

_USERS: Final = '"users": [\n'
_OWNERS: Final = '"owners": [\n'
_END: Final = "],\n"


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a run must know of a plan that was saved.

    Attributes:
        database: Name of the database.
        source: Name of the legacy users' collection.
        policy: The choices it was made with.
        digests: Digests of all that it writes and quarantines.
        documents: Collection to the number of its documents.
        users: How many legacy users are not quarantined.
        writes: How many documents of registered collections it writes to.
    """

    database: str
    source: str
    policy: Mapping[str, Any]
    digests: Digests
    documents: Mapping[str, int] = field(default_factory=dict)
    users: int = 0
    writes: int = 0

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """A plan as it would be loaded after being saved."""
        return cls(
            plan.database,
            plan.source,
            plan.options.policy(),
            plan.digests,
            {name: summary.documents for name, summary in plan.collections.items()},
            users=len(plan.users) - plan.outcomes.get(Outcome.QUARANTINED, 0),
            writes=sum(summary.pending for summary in plan.collections.values()),
        )


def plan_lines(plan: Plan) -> Iterator[str]:
    """The lines of a saved plan: decisions, ids and digests, no personal data."""
    hasher = blake2b(digest_size=16)
    for line in _content(plan):
        hasher.update(line.encode())
        yield line
    yield f'"checksum": "{hasher.hexdigest()}"}}\n'


def load_plan(
    path: Path,
    *,
    on_decision: Callable[[SavedDecision], None] | None = None,
    on_owner: Callable[[SavedOwner], None] | None = None,
) -> SavedPlan:
    """Read a saved plan, all of it, and keep what a run must know.

    Args:
        path: The file.
        on_decision: Told of each legacy user's decision, before the checksum was read; raises
            ``ValueError`` where it cannot be one.
        on_owner: Told of each user without one, and of their workspace.

    Raises:
        LocalFileError: The file cannot be read, is no plan of this version, or is not what was
            written.
    """
    with (
        opened_for("read", path, next_step=_ADVICE),
        path.open(encoding="utf-8") as file,
    ):
        return _read(file, path, on_decision, on_owner)


def refuse_other_file(path: Path) -> None:
    """A plan may take the place of a plan, of whatever version, and of nothing else.

    Raises:
        UsageError: Something else is there.
    """
    another = "Name another file, or remove that one."
    if is_there(path, next_step=another) and not may_be_replaced(path):
        raise UsageError(
            f"{str(path)!r} exists already and is not a plan; it was left alone.",
            next_step=another,
        )


def may_be_replaced(path: Path) -> bool:
    """Whether a file is a plan, of whatever version, so that a new one may take its place."""
    if not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(len(_ANY_FORMAT)) == _ANY_FORMAT
    except OSError:
        return False


def refuse_other_database(saved: SavedPlan, database: str) -> None:
    """Compare the database of a saved plan with the one at hand.

    Raises:
        UsageError: They differ.
    """
    if saved.database != database:
        raise UsageError(
            f"The plan is for the database {saved.database!r}, "
            f"and the connection string names {database!r}.",
            next_step="Use the connection string the plan was made with.",
        )


def refuse_if_moved_on(
    reviewed: Digests, now: Digests, *, unfinished: RunRecord | None = None, shown: bool = False
) -> None:
    """Compare a plan that was reviewed with what the database gives now.

    Args:
        reviewed: What the plan writes and quarantines.
        now: What a run would write and quarantine, with what an interrupted one has written.
        unfinished: The interrupted one, if there is one.
        shown: Whether a person saw the plan at the question alone, and none was saved.

    Raises:
        DatabaseMovedOnError: They differ; the message names the sections.
    """
    sections = reviewed.differing(now)
    differing = ", ".join("legacy users" if name == USERS else name for name in sections)
    if differing and unfinished is not None:
        raise DatabaseMovedOnError(
            "What the interrupted run has written and what is left are not its plan any more: "
            f"{differing} differ.",
            next_step="Nothing more was written. Finish it with what the database gives now: "
            f"{finishing(unfinished)}. Or take it back: newbi-migrate rollback.",
        )
    if differing and shown:
        raise DatabaseMovedOnError(
            f"The database is no longer as it was shown: {differing} differ.",
            next_step="Nothing was written. Run the command again, and look at the new plan.",
        )
    if differing:
        raise DatabaseMovedOnError(
            f"The database has moved on since the plan was made: {differing} differ.",
            next_step="Nothing was written. Stop whatever writes; then make a new backup and a new "
            "plan, and apply that one.",
        )


def refuse_other_choices(unfinished: RunRecord, options: MigrationOptions, source: str) -> None:
    """Compare the choices at hand with those of a run that was interrupted.

    Args:
        unfinished: The run.
        options: The choices.
        source: The collection of legacy users that they name, or that was found.

    Raises:
        UsageError: They would not finish that run.
    """
    # A run records the source that it found out as one that was named: it is the same choice.
    asked, begun = {**options.policy(), "legacyCollection": source}, unfinished.policy
    differing = sorted(name for name in asked if asked[name] != begun.get(name))
    if differing:
        raise UsageError(
            f"The run {unfinished.run_id} was interrupted and had other choices: "
            + ", ".join(f"{name} was {begun.get(name)}" for name in differing)
            + ".",
            next_step=f"Finish it first: {finishing(unfinished)}.",
        )


def refuse_other_plan(saved: SavedPlan, unfinished: RunRecord) -> None:
    """Compare a saved plan with the one an interrupted run had begun to follow.

    Raises:
        DatabaseMovedOnError: It is another plan.
    """
    if unfinished.document.get("planDigests") != saved.digests.to_json():
        raise DatabaseMovedOnError(
            f"The run {unfinished.run_id} was interrupted and followed another plan.",
            next_step=f"Finish it first, with its own plan or with none: {finishing(unfinished)}.",
        )


# -- writing ------------------------------------------------------------------------------------


def _content(plan: Plan) -> Iterator[str]:
    header = {
        "format": PLAN_FORMAT,
        "database": plan.database,
        "source": plan.source,
        "policy": plan.options.policy(),
        "digests": plan.digests.to_json(),
        "outcomes": {o.value: plan.outcomes.get(o, 0) for o in Outcome},
        "collections": {name: answer(s) for name, s in plan.collections.items()},
    }
    yield json.dumps(header)[:-1] + ",\n"
    yield _USERS
    yield from _separated(map(_decision, plan.users))
    yield _END
    yield _OWNERS
    yield from _separated(_owners(plan))
    yield _END


def _decision(line: UserLine) -> str:
    return json.dumps(
        {
            "legacyId": _extended(line.legacy_id),
            "outcome": line.outcome.value,
            "reason": None if line.reason is None else line.reason.value,
            "userId": None if line.user_id is None else str(line.user_id),
            "workspaceId": None if line.workspace is None else str(line.workspace),
        }
    )


def _extended(identifier: Any) -> Any:
    """An id of any type in canonical Extended JSON."""
    if isinstance(identifier, ObjectId):
        return {"$oid": str(identifier)}
    return json.loads(json_util.dumps(identifier, json_options=json_util.CANONICAL_JSON_OPTIONS))


def _owners(plan: Plan) -> Iterator[str]:
    """Users whom no decision is about and who have a workspace all the same."""
    decided = PackedIds.of_rows(plan.users.decisions.users())
    for user, workspace in plan.workspaces.by_user.items():
        if user not in decided and not isinstance(workspace, Reason):
            yield json.dumps({"userId": str(user), "workspaceId": str(workspace)})


def _separated(texts: Iterable[str]) -> Iterator[str]:
    before = ""
    for text in texts:
        if before:
            yield f"{before},\n"
        before = text
    if before:
        yield f"{before}\n"


# -- reading ------------------------------------------------------------------------------------

_Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_Count = Annotated[int, Field(ge=0)]
# Strict as all the rest, but read from text.
_Outcome = Annotated[Outcome, Field(strict=False)]
_Reason = Annotated[Reason, Field(strict=False)]
_Class = Annotated[WorkspaceClass, Field(strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Summary(_Part):
    documents: _Count
    classes: dict[_Class, _Count]
    stamped: _Count
    ownersRewritten: _Count  # noqa: N815
    kept: _Count
    quarantined: _Count


class _Header(_Part):
    format: Literal["newbi-migrate plan 2"]
    database: str
    source: str
    policy: dict[str, str | list[str] | None]
    digests: dict[str, _Hash]
    outcomes: dict[_Outcome, _Count]
    collections: dict[str, _Summary]


class SavedDecision(_Part):
    """One decision about a legacy user, as a saved plan holds it; ids are in Extended JSON."""

    legacyId: Any  # noqa: N815
    outcome: _Outcome
    reason: _Reason | None
    userId: _Id | None  # noqa: N815
    workspaceId: _Id | None  # noqa: N815


class SavedOwner(_Part):
    """A user whom no decision is about, with their workspace."""

    userId: _Id  # noqa: N815
    workspaceId: _Id  # noqa: N815


_P = TypeVar("_P", bound=_Part)


def _read(
    file: TextIO,
    path: Path,
    on_decision: Callable[[SavedDecision], None] | None,
    on_owner: Callable[[SavedOwner], None] | None,
) -> SavedPlan:
    lines = _Lines(file)
    try:
        header = _parsed(_Header, lines.next().removesuffix(",\n") + "}")
    except (ValueError, RecursionError):
        # Without its cause, which repeats what the file holds.
        raise LocalFileError(
            f"The file {str(path)!r} is not a plan of this version.", next_step=_ADVICE
        ) from None
    try:
        decisions = _skim(lines, _USERS, SavedDecision, on_decision)
        _skim(lines, _OWNERS, SavedOwner, on_owner)
        checksum = lines.checksum()
        whole = lines.next() == f'"checksum": "{checksum}"}}\n' and not lines.next()
    except (ValueError, RecursionError):
        whole = False
    if not whole or decisions != sum(header.outcomes.values()):
        raise LocalFileError(
            f"The plan {str(path)!r} is damaged, or was changed after it was written.",
            next_step=_ADVICE,
        )
    return SavedPlan(
        header.database,
        header.source,
        header.policy,
        Digests.from_json(header.digests),
        {name: summary.documents for name, summary in header.collections.items()},
        users=decisions - header.outcomes.get(Outcome.QUARANTINED, 0),
        writes=sum(
            each.documents - each.kept - each.quarantined for each in header.collections.values()
        ),
    )


class _Lines:
    """Lines of a file, none of them longer than it may be, and their checksum so far."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._hasher = blake2b(digest_size=16)

    def next(self) -> str:
        line = self._file.readline(_LONGEST_LINE)
        self._hasher.update(line.encode())
        return line

    def checksum(self) -> str:
        return self._hasher.hexdigest()


def _skim(lines: _Lines, beginning: str, kind: type[_P], told: Callable[[_P], None] | None) -> int:
    """Check the lines of a list, tell of each, and count them."""
    if lines.next() != beginning:
        raise ValueError
    count = 0
    while (line := lines.next()) != _END:
        part = _parsed(kind, line.removesuffix("\n").removesuffix(","))
        if told is not None:
            told(part)
        count += 1
    return count


def _parsed(kind: type[_P], text: str) -> _P:
    return kind.model_validate(_decode(text))


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


_decode = partial(json.loads, object_pairs_hook=_once)
