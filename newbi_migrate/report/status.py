"""The state of a database as a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from newbi_migrate.answers import answer
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.checklist import Checklist
from newbi_migrate.migration.status import Status
from newbi_migrate.report.checklist import short_form
from newbi_migrate.report.document import Badge, Document, Section, Tone, table_of
from newbi_migrate.store.runs import RunRecord, RunState

__all__ = ["status_document", "status_exit_code"]

_RUNS = 10


def status_exit_code(status: Status) -> ExitCode:
    """3 where a run or a restore has not come to its end or records are damaged, else 0."""
    settled = status.unfinished is None and status.damage is None and not status.restoring
    return ExitCode.DONE if settled else ExitCode.PENDING


def status_document(
    found: Checklist, *, next_command: str = "", placed: Callable[[str], str] = str
) -> Document:
    """The document of how a database stands.

    Args:
        found: The database's status, with the checklist.
        next_command: What to run next.
        placed: Adds to the commands of a sentence where the connection string is.
    """
    status, short = found.status, short_form(found)
    orphans = status.organizations_without_members
    sections = (
        *_damage(status, placed),
        *_runs(status),
        *_lease(status),
        *_late(status),
        *_without(status),
    )
    if status.restoring:
        sections = (*_restoring(status), *_lease(status))
    return Document(
        command="status",
        database=status.database,
        title=f"Status of the database {status.database}",
        exit_code=status_exit_code(status),
        next_command=next_command,
        sections=sections,
        summary=(
            *([] if status.restoring else [f"Organizations without members: {orphans:,}"]),
            *([] if short is None else [str(short)]),
        ),
        checklist=short,
        value=lambda: {**answer(status), "checklist": None if short is None else asdict(short)},
    )


def _restoring(status: Status) -> Iterator[Section]:
    said = (
        f"The database {status.database} is half restored: a restore has not come to its end. The "
        "same command again goes on where it stopped; until then nothing else can be said of it."
    )
    yield Section("", (Badge(said, Tone.BAD),))


def _damage(status: Status, placed: Callable[[str], str]) -> Iterator[Section]:
    if status.damage is not None:
        said = f"{status.damage.what} {placed(status.damage.next_step)}"
        yield Section("", (Badge(said, Tone.BAD),))


def _runs(status: Status) -> Iterator[Section]:
    runs = status.runs
    if not runs and status.damage is None:
        yield Section("No run yet.")
    if not runs:
        return
    table = table_of(
        "Runs, the newest first",
        ("run", "command", "state", "started (UTC)", "quarantine", "exit"),
        runs[:_RUNS],
        lambda run: (
            str(run.run_id),
            run.command,
            _state(run),
            _when(run.started_at, "%Y-%m-%d %H:%M"),
            _number(run.quarantined),
            _number(run.exit_code),
        ),
    )
    older = [f"and {len(runs) - _RUNS:,} older (--json lists all)"] * (len(runs) > _RUNS)
    yield Section(
        f"Runs: {len(runs):,}{', the newest first' if len(runs) > 1 else ''}", (*table, *older)
    )


def _state(run: RunRecord) -> str:
    if run.partly_rolled_back:
        return "partly-back"
    return "unfinished" if run.state is RunState.RUNNING else run.state.value


def _number(value: object) -> int | str:
    return value if isinstance(value, int) else "" if value is None else str(value)


def _lease(status: Status) -> Iterator[Section]:
    lease, unfinished = status.lease, status.unfinished
    if lease is not None and lease.holder_ended and unfinished is None:
        said = (
            f"A process has ended ({lease.holder}) and left no run unfinished; the next command "
            "takes its lease over at once."
        )
    elif lease is not None and lease.holder_ended and unfinished is not None:
        said = (
            f"The {unfinished.command} run {unfinished.run_id} was interrupted: its process has "
            f"ended ({lease.holder}). {_resumed(unfinished)}"
        )
    elif lease is not None and lease.under_way:
        said = (
            f"A run is under way: {lease.holder}, since {_when(lease.since)}; its lease "
            f"lasts {lease.seconds_left:.0f} s unless it is renewed."
        )
    elif unfinished is not None:
        said = f"Nobody holds the lease: the unfinished run was interrupted. {_resumed(unfinished)}"
    else:
        return
    yield Section("", (said,))


def _resumed(run: RunRecord) -> str:
    if run.state is RunState.ROLLING_BACK:
        return "Its rollback was interrupted, and the command below finishes that."
    return (
        "The same command, or the one below, goes on with it as it was begun, with its plan and "
        "its backup."
    )


def _late(status: Status) -> Iterator[Section]:
    if status.late_users:
        yield Section(f"Legacy users who are not migrated yet: {status.late_users:,}")


def _without(status: Status) -> Iterator[Section]:
    lacking = {name: count for name, count in status.without_workspace.items() if count}
    if not lacking:
        yield Section("Every document has a workspace.")
        return
    quarantined = status.quarantined
    any_left = any(quarantined.values())
    rows: Sequence[tuple[str, int]] = tuple(lacking.items())
    yield Section(
        f"Documents without a workspace: {sum(lacking.values()):,}",
        table_of(
            "Documents without a workspace, by collection",
            ("collection", "documents", *(["quarantined by the last run"] if any_left else [])),
            rows,
            lambda item: (*item, *([quarantined[item[0]]] if any_left else [])),
        ),
    )


def _when(value: object, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return value.strftime(form) if isinstance(value, datetime) else ""
