"""``newbi-migrate status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.planning import suggest
from newbi_migrate.cli.running import Session
from newbi_migrate.errors import ExitCode

if TYPE_CHECKING:
    from newbi_migrate.migration.status import Status

__all__ = ["next_after_status", "register"]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("status")(status)


def status(*, as_json: opt.AsJson = False, uri_file: opt.UriFile = None) -> None:
    """Show runs, the lease, and what still lacks a workspace; writes nothing.

    Ends with 3 where a run has not come to its end, else with 0.
    """
    session = Session(as_json=as_json, uri_file=uri_file)
    with session.explained():
        from newbi_migrate.report.console import status_report
        from newbi_migrate.report.json import status_to_json

        found = session.run(lambda: _read(session))
        session.answer(
            lambda: status_to_json(found),
            status_report(found, next_command=next_after_status(session, found)),
        )
        raise typer.Exit(int(ExitCode.DONE if found.unfinished is None else ExitCode.PENDING))


async def _read(session: Session) -> Status:
    from newbi_migrate.migration.facade import Migration

    async with Migration(session.target) as migration:
        return await migration.status()


def next_after_status(session: Session, found: Status) -> str:
    """What to run next, as a database stands."""
    from newbi_migrate.store.runs import RunState

    place = session.uri_arguments
    if found.lease is not None and found.lease.held:
        return suggest("status", *place)
    if found.unfinished is not None:
        undoing = found.unfinished.state is RunState.ROLLING_BACK
        again = suggest("rollback" if undoing else found.unfinished.command, *place)
        return f"{again}, with the options it was started with"
    if all(run.state is RunState.ROLLED_BACK for run in found.runs):
        return suggest("plan", *place)
    if any(found.without_workspace.values()):
        return suggest("backfill", "--dry-run", *place)
    return suggest("plan", *place)
