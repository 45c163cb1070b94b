"""The guide's checklist, each line ticked by what is recorded or can be seen; reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from bson import ObjectId
from pydantic import computed_field

from newbi_migrate.answers import HIDDEN
from newbi_migrate.checks import Level
from newbi_migrate.documents.registry import Registry
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.doctor.backing import look_at_backup
from newbi_migrate.migration.doctor.writers import look_for_writers
from newbi_migrate.migration.planning.late import counted_collections, late_documents
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.plan import make_plan
from newbi_migrate.migration.planning.plan_file import load_plan
from newbi_migrate.migration.planning.rehearsed import since_rehearsal
from newbi_migrate.migration.run.baseline import BaselineSource, baseline_of
from newbi_migrate.migration.status import Status, read_status
from newbi_migrate.migration.validation.validate import ValidationRequest, validate
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import collections
from newbi_migrate.store.connection import Store
from newbi_migrate.store.counting import blank, count
from newbi_migrate.store.runs import RunRecord, RunState

__all__ = ["Checklist", "Line", "LineId", "LineState", "Part", "read_checklist"]

_COMMENT: Final = "newbi-migrate checklist"


class Part(StrEnum):
    """The parts of the checklist, in order."""

    BEFORE = "before"
    MIGRATION = "migration"
    AFTER = "after"


class LineId(StrEnum):
    """The lines of the checklist, in order."""

    TOOLS = "tools"
    VARIABLES = "variables"
    STOPPED = "application-stopped"
    BACKUP = "backup"
    REHEARSED = "rehearsed"
    PLANNED = "planned"
    MIGRATED = "migrated"
    VALIDATED = "validated"
    TESTED = "application-tested"
    MONITORING = "monitoring"
    RESTARTED = "application-restarted"
    SIGN_IN = "sign-in"
    NEW_DOCUMENTS = "new-documents"
    LEGACY = "legacy-users-set-aside"
    BACKUPS = "regular-backups"

    @property
    def part(self) -> Part:
        """The part it belongs to."""
        order = list(LineId)
        if order.index(self) < order.index(LineId.MIGRATED):
            return Part.BEFORE
        return Part.MIGRATION if order.index(self) < order.index(LineId.RESTARTED) else Part.AFTER


class LineState(StrEnum):
    """How a line stands."""

    DONE = "done"
    OPEN = "open"
    FAILED = "failed"
    ASKED = "asked"
    """Nothing here can tell: a person has to say."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the checklist.

    Attributes:
        id: Which one.
        state: How it stands.
        evidence: What that was seen by, as a key of the words of a report; empty for nothing.
        values: What the evidence names: numbers, names.
    """

    id: LineId
    state: LineState
    evidence: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @computed_field
    @property
    def part(self) -> Part:
        """The part of the checklist it belongs to."""
        return self.id.part

    @property
    def unsettled(self) -> bool:
        """Whether it is neither ticked nor left to a person."""
        return self.state in (LineState.OPEN, LineState.FAILED)

    @property
    def waits(self) -> bool:
        """Whether the checklist waits for it, as it does for all lines but the optional one."""
        return self.unsettled and self.id is not LineId.LEGACY


_MONITORING: Final = Line(LineId.MONITORING, LineState.ASKED)
_BACKUPS: Final = Line(LineId.BACKUPS, LineState.ASKED)
_PERSONS: Final = {line.id: line for line in (_MONITORING, _BACKUPS)}
_WAITING: Final = tuple(
    _PERSONS.get(one, Line(one, LineState.OPEN)) for one in LineId if one.part is not Part.BEFORE
)
"""The lines of the migration and of the time after it, as long as none is done."""


@dataclass(frozen=True, slots=True)
class Checklist:
    """The checklist of a database.

    Attributes:
        database: Its name.
        lines: The lines, in order; none where only a brief look was taken and a restore is
            unfinished or the records of runs are damaged.
        status: How the database stands; nothing is counted in it unless it was given.
        planned: The choices that a plan is to be made with: those that were rehearsed, if any were.
    """

    database: str
    lines: tuple[Line, ...]
    status: Annotated[Status, HIDDEN]
    planned: Annotated[MigrationOptions, HIDDEN] = field(default_factory=MigrationOptions)

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """3 where a line is open or failed, but for the optional one; else 0.

        What a person has to say is neither.
        """
        return ExitCode.PENDING if any(line.waits for line in self.lines) else ExitCode.DONE


async def read_checklist(
    store: Store,
    registry: Registry,
    options: MigrationOptions,
    *,
    backup: Path | None = None,
    rehearsed: Path | None = None,
    watch: float = 3.0,
    brief: bool = False,
    status: Status | None = None,
    progress: Progress | None = None,
) -> Checklist:
    """Look at everything the checklist asks; send no write command.

    Args:
        store: The open database.
        registry: The collections.
        options: The choices of the migration.
        backup: Folder of the backup that is relied on.
        rehearsed: Decisions of a rehearsal, with which those of now are compared.
        watch: Seconds for which collections are watched for writes, before a migration.
        brief: Look only at what takes no time: watch nobody, and do not validate.
        status: How the database stands, where that was read already.
        progress: Told of what is going on.

    Raises:
        UsageError: The decisions of the rehearsal cannot be read.
        UnsupportedError: The database holds nothing.
        DamagedRecordsError: The records of runs are not what this tool wrote.
        NewbiMigrateError: The server failed.
    """
    if status is None:
        status = await read_status(store.database, registry, progress, counted=False)
    if brief and (status.restoring or status.damage is not None):
        return Checklist(store.database.name, (), status)
    if status.damage is not None:
        raise status.damage
    looking = _Looking(store, registry, options, status.runs, brief, progress or NullProgress())
    before = await looking.before(backup, rehearsed, watch)
    lines = (*before, *await looking.since())
    return Checklist(store.database.name, lines, status, looking.planned)


class _Looking:
    def __init__(
        self,
        store: Store,
        registry: Registry,
        options: MigrationOptions,
        runs: Sequence[RunRecord],
        brief: bool,
        progress: Progress,
    ) -> None:
        self._store = store
        self._registry = registry
        self._options = self.planned = options
        self._runs = runs
        self._brief = brief
        self._progress = progress
        # Of several runs the first is the migration, and what came since it counts; unless one of
        # them has to be finished.
        migrating = [run for run in reversed(runs) if run.in_place and run.migrates]
        unfinished = (run for run in migrating if not run.stands)
        self._migration = next(unfinished, migrating[0] if migrating else None)

    async def before(
        self, backup: Path | None, rehearsed: Path | None, watch: float
    ) -> tuple[Line, ...]:
        """The lines of the time before the migration."""
        lines = (
            Line(LineId.TOOLS, LineState.DONE, "server", {"server": str(self._store.server)}),
            Line(LineId.VARIABLES, LineState.DONE, "connected"),
        )
        if self._migration is not None:
            past = "migrated-since"
            return (
                *lines,
                Line(LineId.STOPPED, LineState.ASKED, past),
                self._backed(self._migration),
                Line(LineId.REHEARSED, LineState.ASKED, past),
                Line(LineId.PLANNED, LineState.ASKED, past),
            )
        return (
            *lines,
            await self._stopped(watch),
            await self._backup(backup),
            await self._rehearsed(rehearsed),
            Line(LineId.PLANNED, LineState.ASKED, "not-told"),
        )

    async def since(self) -> tuple[Line, ...]:
        """The lines of the migration and of the time after it."""
        run = self._migration
        if run is None:
            return _WAITING
        finished = run.document.get("finishedAt")
        if not run.stands or not isinstance(finished, datetime):
            back = run.state is RunState.ROLLING_BACK
            evidence = "unfinished-rollback" if back else "unfinished"
            migrated = Line(LineId.MIGRATED, LineState.FAILED, evidence)
            return (migrated, *_WAITING[1:])
        sessions = await self._sessions(finished)
        seen = ("sessions", {"count": sessions}) if sessions else ("no-sessions",)
        signed_in = LineState.DONE if sessions else LineState.OPEN
        return (
            Line(LineId.MIGRATED, LineState.DONE, "run", {"run": str(run.run_id)}),
            await self._validated(),
            Line(LineId.TESTED, signed_in, *seen),
            _MONITORING,
            Line(LineId.RESTARTED, signed_in, *seen),
            Line(LineId.SIGN_IN, signed_in, *seen),
            await self._new_documents(finished),
            self._set_aside(),
            _BACKUPS,
        )

    # -- one by one ---------------------------------------------------------------------------

    async def _stopped(self, watch: float) -> Line:
        if self._brief:
            return Line(LineId.STOPPED, LineState.OPEN, "not-looked")
        (check,) = await look_for_writers(self._store.database, watch)
        seen = {"what": check.sentence}
        if check.level is Level.OK:
            return Line(LineId.STOPPED, LineState.DONE, "nobody-writes")
        if check.level is Level.FAILED:
            return Line(LineId.STOPPED, LineState.FAILED, "somebody-writes", seen)
        return Line(LineId.STOPPED, LineState.ASKED, "perhaps-somebody-writes", seen)

    async def _backup(self, backup: Path | None) -> Line:
        if backup is None:
            return Line(LineId.BACKUP, LineState.OPEN, "no-backup-named")
        (check,) = await look_at_backup(self._store.database, backup)
        if check.level is Level.OK:
            return Line(LineId.BACKUP, LineState.DONE, "of-now")
        return Line(LineId.BACKUP, LineState.FAILED, "not-of-now", {"what": check.sentence})

    def _backed(self, run: RunRecord) -> Line:
        baseline = baseline_of(run)
        if baseline is None or baseline.source is not BaselineSource.BACKUP:
            return Line(LineId.BACKUP, LineState.ASKED, "without-backup")
        return Line(LineId.BACKUP, LineState.DONE, "backed", {"name": baseline.name})

    async def _rehearsed(self, rehearsed: Path | None) -> Line:
        if rehearsed is None:
            return Line(LineId.REHEARSED, LineState.OPEN, "no-rehearsal-named")
        chosen = MigrationOptions.from_policy(load_plan(rehearsed).policy)
        named = self._options.legacy_collection or chosen.legacy_collection
        self.planned = replace(chosen, legacy_collection=named)
        plan = await make_plan(
            self._store.database, self._registry, self.planned, progress=self._progress
        )
        since = since_rehearsal(rehearsed, plan)
        if since.as_rehearsed:
            return Line(LineId.REHEARSED, LineState.DONE, "as-rehearsed")
        if since.of_another:
            return Line(LineId.REHEARSED, LineState.FAILED, "of-another")
        return Line(LineId.REHEARSED, LineState.FAILED, "others", {"count": len(since.others)})

    async def _validated(self) -> Line:
        if self._brief:
            return Line(LineId.VALIDATED, LineState.OPEN, "not-looked")
        report = await validate(
            ValidationRequest(
                database=self._store.database,
                registry=self._registry,
                options=self._options,
                progress=self._progress,
            )
        )
        state = LineState.FAILED if report.failed else LineState.DONE
        said = {"count": report.critical}
        if report.pending:
            return Line(LineId.VALIDATED, state, "pending", {**said, "pending": report.pending})
        return Line(LineId.VALIDATED, state, "critical", said)

    async def _sessions(self, finished: datetime) -> int:
        query = {"createdAt": {"$gt": finished}}
        return await count(self._store.database["session"], query, comment=_COMMENT)

    async def _new_documents(self, finished: datetime) -> Line:
        database, workspace = self._store.database, self._registry.workspace_field
        infos = await collections(database, comment=_COMMENT)
        # Ids know seconds alone: what came in the very second of the end may be from before.
        after = ObjectId.from_datetime(finished + timedelta(seconds=1))
        new: dict[str, Any] = {"_id": {"$gte": after}}
        found = without = 0
        for spec in counted_collections(self._registry, infos, self._runs):
            lacking = {**new, **blank(workspace)}
            found += await count(database[spec.name], new, comment=_COMMENT)
            without += await count(database[spec.name], lacking, comment=_COMMENT)
        values = {"count": found, "without": without}
        if without:
            # What a run quarantined waits for a person, and finalize --keep passes it.
            late = await late_documents(
                database, self._registry, self._runs, infos, comment=_COMMENT
            )
            if late:
                return Line(LineId.NEW_DOCUMENTS, LineState.FAILED, "new-without", values)
            return Line(LineId.NEW_DOCUMENTS, LineState.DONE, "new-recorded", values)
        if not found:
            return Line(LineId.NEW_DOCUMENTS, LineState.OPEN, "none-new")
        return Line(LineId.NEW_DOCUMENTS, LineState.DONE, "new", values)

    def _set_aside(self) -> Line:
        done = any(run.command == "finalize" and run.stands for run in self._runs)
        return Line(LineId.LEGACY, LineState.DONE if done else LineState.OPEN)
