"""``newbi-migrate rollback`` and ``newbi-migrate unlock``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.following import after_rollback, suggest
from newbi_migrate.cli.reporting import ReportFiles
from newbi_migrate.cli.running import Session, say, stopping_on_signals
from newbi_migrate.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from bson import ObjectId

    from newbi_migrate.migration.rollback.results import RollbackOptions, RollbackResult
    from newbi_migrate.migration.run.throttle import ThrottleOptions
    from newbi_migrate.store.lease import LeaseState

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("rollback")(rollback)
    app.command("unlock")(unlock)


class ConflictChoice(StrEnum):
    """Choices of ``--on-conflict``."""

    STOP = "stop"
    KEEP = "keep"
    DISCARD = "discard"


def rollback(
    *,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="ID",
            help="The run to take back, as status lists it.",
            show_default="the last that is in place",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Take all runs back, the last one first; each is looked at before anything is "
            "written, and in a dry run.",
        ),
    ] = False,
    on_conflict: Annotated[
        ConflictChoice,
        typer.Option(
            "--on-conflict",
            help="Where somebody changed what the run wrote: write nothing at all, keep the "
            "change, or discard it.",
        ),
    ] = ConflictChoice.STOP,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collections",
            metavar="A,B",
            help="Take back the documents and indexes of these collections alone; users stay.",
            show_default="everything",
        ),
    ] = None,
    users: Annotated[
        list[str] | None,
        typer.Option(
            "--users",
            metavar="ID,ID",
            help="Take back these legacy users and the documents of their workspaces alone.",
            show_default="everything",
        ),
    ] = None,
    dry_run: opt.DryRun = False,
    confirm: opt.Confirm = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
    report: opt.Reports = None,
    log_file: opt.LogFile = None,
    max_rate: opt.MaxRate = None,
    pause_file: opt.PauseFile = None,
    max_lag: opt.MaxLag = None,
) -> None:
    """Take a run back: exactly what it wrote, to the byte, and nothing else.

    What people created since stays, and so does an organization they use; what they changed of
    the run's own is a conflict. Interrupted, the same command finishes it.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        from newbi_migrate.migration.rollback.results import OnConflict, RollbackOptions

        _refuse_two(
            {"--all": everything, "--run": run, "--collections": collections, "--users": users}
        )
        options = RollbackOptions(
            OnConflict(on_conflict.value),
            values.names(collections, "--collections"),
            values.names(users, "--users"),
        )
        throttle = values.throttle(max_rate, pause_file, max_lag)
        named = None if run is None else _run_id(run)
        reports = ReportFiles(report, taken=[uri_file, log_file, pause_file])
        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        session.log_to(log_file, "rollback --dry-run" if dry_run else "rollback")
        looked: list[RollbackResult] | None = None
        if not (dry_run or confirm):
            looked = session.run(
                lambda: _roll_back(
                    session, named, options, throttle, everything=everything, dry_run=True
                )
            )
            _report(session, looked, everything=everything, verbose=verbose, aside=True)
            session.confirm(session.target.database, confirmed=False)
        done = session.run(
            lambda: _roll_back(
                session,
                named,
                options,
                throttle,
                everything=everything,
                dry_run=dry_run,
                reviewed=looked,
            )
        )
        session.log_end(*map(_in_one_line, done))
        _answer(session, done, reports, everything=everything, verbose=verbose, as_json=as_json)


def _in_one_line(result: RollbackResult) -> str:
    """How it ended, for the log."""
    what = "what a rollback would do" if result.dry_run else "rolled back"
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
            f"{text!r} is no run's id.", next_step="See status for the runs there are."
        )
    return ObjectId(text)


async def _roll_back(
    session: Session,
    run_id: ObjectId | None,
    options: RollbackOptions,
    throttle: ThrottleOptions,
    *,
    everything: bool,
    dry_run: bool,
    reviewed: list[RollbackResult] | None = None,
) -> list[RollbackResult]:
    from newbi_migrate.cli.progress import showing_progress
    from newbi_migrate.migration.facade import Migration

    with showing_progress(log=session.log) as progress:
        async with Migration(session.target, progress=progress, throttle=throttle) as migration:
            with stopping_on_signals(migration):
                if everything:
                    return await migration.rollback_all(
                        options=options, dry_run=dry_run, reviewed=reviewed
                    )
                result = await migration.rollback(
                    run_id,
                    options=options,
                    dry_run=dry_run,
                    reviewed=None if reviewed is None else reviewed[0],
                )
                return [result]


def _report(
    session: Session,
    results: list[RollbackResult],
    *,
    everything: bool,
    verbose: bool,
    aside: bool = False,
) -> None:
    from newbi_migrate.report.rollback import rollback_report

    following = after_rollback(results, everything=everything, place=session.uri_arguments)
    for result in results[:-1]:
        session.show([*rollback_report(result, verbose=verbose), ""], aside=aside)
    last = rollback_report(results[-1], next_command=following, verbose=verbose)
    session.show(last, aside=aside)


def _answer(
    session: Session,
    results: list[RollbackResult],
    reports: ReportFiles,
    *,
    everything: bool,
    verbose: bool,
    as_json: bool,
) -> NoReturn:
    from newbi_migrate.report.rollback_contents import rollback_contents

    following = after_rollback(results, everything=everything, place=session.uri_arguments)
    code = reports.write(
        session,
        lambda _: rollback_contents(results, next_command=following),
        ExitCode(max(int(result.exit_code) for result in results)),
    )
    if as_json:
        last = results[-1].to_json()
        earlier = [result.to_json() for result in results[:-1]]
        session.answer(lambda: {**last, "before": earlier} if earlier else last, ())
    else:
        _report(session, results, everything=everything, verbose=verbose)
    raise typer.Exit(int(code))


def unlock(
    *,
    confirm: opt.Confirm = False,
    as_json: opt.AsJson = False,
    uri_file: opt.UriFile = None,
) -> None:
    """End the lease of a run that is dead, so that another need not wait for it to run out.

    By itself it runs out 30 s after its last renewal. A run that is alive after all stops before
    its next write.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        held = shown = session.run(lambda: _lease(session))
        if held is not None and held.held:
            session.must_be_able_to_ask(confirmed=confirm)
            ended_process = (
                " Its process has ended; the same command resumes it at once, unlocked or not."
                if held.holder_ended
                else ""
            )
            say(
                f"The lease is held by {held.holder}, since {held.since:%Y-%m-%d %H:%M:%S} UTC."
                f"{ended_process}"
            )
            session.confirm(session.target.database, confirmed=confirm)
            held = session.run(lambda: _unlock(session, shown))
        else:
            held = None
        ended = None if held is None else str(held.holder.run_id)
        words = "Nobody holds the lease." if ended is None else f"The lease of {ended} was ended."
        following = f"Next: {suggest('status', *session.uri_arguments)}"
        session.answer(lambda: {"ended": ended}, [words, "", following])
        raise typer.Exit(int(ExitCode.DONE))


async def _lease(session: Session) -> LeaseState | None:
    from newbi_migrate.migration.facade import Migration

    async with Migration(session.target) as migration:
        return await migration.lease()


async def _unlock(session: Session, seen: LeaseState | None) -> LeaseState | None:
    from newbi_migrate.migration.facade import Migration

    async with Migration(session.target) as migration:
        return await migration.unlock(seen)
