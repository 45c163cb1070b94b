"""``newbi-migrate rollback`` and ``newbi-migrate unlock``."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from newbi_migrate.choices import OnConflict
from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import after_rollback, suggest
from newbi_migrate.cli.reporting import ReportFiles
from newbi_migrate.cli.running import Session, say
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.report.text import counted

if TYPE_CHECKING:
    from bson import ObjectId

    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.migration.rollback.results import RollbackOptions, RollbackResult
    from newbi_migrate.report.document import Document
    from newbi_migrate.store.runs import RunRecord

__all__ = ["rollback", "unlock"]


def rollback(
    *,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="ID",
            help="The run to take back, as status lists it; name it for a part where several "
            "migrations are in place.",
            show_default="the last one",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Take back all runs, the last one first; conflicts are looked for in each of them "
            "before anything is written.",
        ),
    ] = False,
    on_conflict: Annotated[
        OnConflict,
        typer.Option(
            "--on-conflict",
            help="Where somebody changed what the run wrote: write nothing at all, keep the "
            "change, or discard it.",
        ),
    ] = OnConflict.STOP,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collections",
            metavar="A,B",
            help="Take back only the documents and indexes of these collections; users stay.",
            show_default="everything",
        ),
    ] = None,
    users: Annotated[
        list[str] | None,
        typer.Option(
            "--users",
            metavar="ID,ID",
            help="Take back only these legacy users and the documents of their workspaces.",
            show_default="everything",
        ),
    ] = None,
    dry_run: opt.DryRun = False,
    confirm: opt.Confirm = False,
    verbose: opt.Verbose = False,
    call: opt.LoggedCall,
    report: opt.Reports = None,
    throttling: opt.Throttling,
) -> None:
    """Take back exactly what a run wrote, to the byte, and nothing else.

    What people created since stays, and so does an organization they use. What the run wrote and
    somebody changed since is a conflict. Run it again to finish what was interrupted.
    """
    with call.session("rollback") as session:
        from newbi_migrate.migration.rollback.results import RollbackOptions

        _refuse_two(
            {"--all": everything, "--run": run, "--collections": collections, "--users": users}
        )
        options = RollbackOptions(
            on_conflict,
            values.names(collections, "--collections"),
            values.names(users, "--users"),
        )
        throttle = values.throttle(throttling)
        named = None if run is None else _run_id(run)
        reports = ReportFiles(report, taken=[call.uri_file, call.log_file, throttling.pause_file])
        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        session.log_to(call.log_file, "rollback --dry-run" if dry_run else "rollback")

        def rolling(
            migration: Migration, *, dry_run: bool, reviewed: list[RollbackResult] | None = None
        ) -> Awaitable[list[RollbackResult]]:
            if everything:
                return migration.rollback_all(options=options, dry_run=dry_run, reviewed=reviewed)
            return _one(migration, named, options, dry_run, reviewed)

        looked = None
        if not (dry_run or confirm):
            looked = session.review(
                lambda m: rolling(m, dry_run=True),
                partial(_document, session, everything=everything),
                _takes_back,
                verbose=verbose,
                throttle=throttle,
            )

        async def carrying_out(
            migration: Migration,
        ) -> tuple[list[RollbackResult], list[RunRecord]]:
            results = await rolling(migration, dry_run=dry_run, reviewed=looked)
            return results, await migration.runs()

        done, runs = session.ask(carrying_out, writes=not dry_run, throttle=throttle)
        session.log_end(*map(_in_one_line, done))
        document = _document(session, done, everything=everything, runs=runs)
        reports.finish(session, lambda _: document, verbose=verbose)


def _takes_back(results: list[RollbackResult]) -> str:
    """What would be taken back, in numbers; nothing where it would write nothing."""
    if results[-1].run_id is None or any(result.refused for result in results):
        return ""
    number = sum(not result.earlier for result in results)
    restored = sum(back.restored for result in results for back in result.documents.values())
    deleted = sum(result.deleted.total() for result in results)
    return (
        f"takes {counted(number, 'run')} back: restores {counted(restored, 'document')} and "
        f"deletes {deleted:,} that were created"
    )


def _in_one_line(result: RollbackResult) -> str:
    """How it ended, for the log."""
    what = "rolled back"
    if result.earlier:
        what = "rolled back before"
    elif result.dry_run:
        what = "what a rollback would do"
    elif result.refused:
        what = "refused, nothing was written"
    run = f"The run {result.run_id} of {result.command}" if result.run_id else "No run"
    return (
        f"{run}: {what}; conflicts {len(result.conflicts):,}, kept {len(result.kept):,}. "
        f"Exit code {int(result.exit_code)}."
    )


def _refuse_two(given: dict[str, object]) -> None:
    for one, other in (
        ("--all", "--run"),
        ("--all", "--collections"),
        ("--all", "--users"),
        ("--collections", "--users"),
    ):
        if given[one] and given[other]:
            raise UsageError(
                f"The options {one} and {other} exclude each other.",
                next_step="Give one of them.",
            )


def _run_id(text: str) -> ObjectId:
    from bson import ObjectId

    if not ObjectId.is_valid(text):
        raise UsageError(
            f"{text!r} is not the id of a run.", next_step="See status for the runs there are."
        )
    return ObjectId(text)


async def _one(
    migration: Migration,
    run_id: ObjectId | None,
    options: RollbackOptions,
    dry_run: bool,
    reviewed: list[RollbackResult] | None,
) -> list[RollbackResult]:
    seen = None if reviewed is None else reviewed[0]
    return [await migration.rollback(run_id, options=options, dry_run=dry_run, reviewed=seen)]


def _document(
    session: Session,
    results: list[RollbackResult],
    *,
    everything: bool,
    runs: Sequence[RunRecord] = (),
) -> Document:
    from newbi_migrate.report.rollback import rollback_document

    following = after_rollback(
        results, everything=everything, runs=runs, place=session.uri_arguments
    )
    return rollback_document(results, next_command=following)


def unlock(
    *,
    confirm: opt.Confirm = False,
    call: opt.Call,
) -> None:
    """End the lease of a dead run, so that the next run need not wait for it to run out.

    A lease runs out by itself 30 s after its last renewal. If the run is alive after all, it stops
    before its next write.
    """
    with call.session("unlock") as session:
        from newbi_migrate.report.document import Document

        held = shown = session.ask(lambda migration: migration.lease(), quiet=True)
        if held is not None and held.held:
            session.must_be_able_to_ask(
                confirmed=confirm, instead="wait until it has run out; status says when"
            )
            ended_process = (
                " Its process has ended; the same command resumes it at once, unlocked or not."
                if held.holder_ended
                else ""
            )
            say(
                f"The lease is held by {held.holder}, since {held.since:%Y-%m-%d %H:%M:%S} UTC."
                f"{ended_process}"
            )
            if not confirm:
                session.confirm(f"ends the lease of {held.holder}")
            held = session.ask(lambda migration: migration.unlock(shown), quiet=True)
        else:
            held = None
        ended = None if held is None else str(held.holder.run_id)
        session.finish(
            Document(
                command="unlock",
                database=session.target.database,
                title="Nobody holds the lease."
                if ended is None
                else f"The lease of {ended} was ended.",
                exit_code=ExitCode.DONE,
                next_command=suggest("status", *session.uri_arguments),
                value=lambda: {"ended": ended},
            )
        )
