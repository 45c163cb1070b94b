"""``newbi-migrate status``."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.next_steps import after_status
from newbi_migrate.cli.running import Session, say
from newbi_migrate.cli.streams import answering
from newbi_migrate.errors import UnreachableError

if TYPE_CHECKING:
    from newbi_migrate.migration.checklist import Checklist
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.progress import Progress
    from newbi_migrate.report.document import Document

__all__ = ["standing", "status"]


def status(
    *,
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch",
            metavar="SECONDS",
            min=0.1,
            help="Show it again every so many seconds, until Ctrl-C; with --json one document a "
            "line.",
        ),
    ] = None,
    times: Annotated[
        int | None,
        typer.Option("--times", metavar="N", min=1, help="Stop watching after N times."),
    ] = None,
    call: opt.Call,
) -> None:
    """Show the runs, the lease, and what has no workspace yet; writes nothing.

    Counts documents without a workspace, legacy users who are not migrated yet, and
    organizations without members. It may be used while a run is under way.
    """
    with call.session("status") as session:
        if watch is not None:
            found = session.run(lambda: _watch(session, watch, times, as_json=call.as_json))
            raise typer.Exit(int(_document(session, found).exit_code))
        session.finish(_document(session, session.run(lambda: _first(session))))


def _document(session: Session, found: Checklist) -> Document:
    from newbi_migrate.report.status import status_document

    following = after_status(found.status, session.uri_arguments)
    return status_document(found, next_command=following, placed=session.placed)


async def _watch(
    session: Session, seconds: float, times: int | None, *, as_json: bool
) -> Checklist:
    """Show the status again and again; return the last. It ends by Ctrl-C, or when nobody reads."""
    # A server that cannot be reached at all is said as without --watch.
    found = await _first(session)
    seen = 1
    with contextlib.suppress(asyncio.CancelledError), answering():
        _show_again(session, found, as_json=as_json)
        while seen != times:
            await asyncio.sleep(seconds)
            try:
                found = await _read(session)
            except UnreachableError as error:
                # An election, or a server that is started again: whoever watches waits for it.
                say(f"note: {error.what}")
                continue
            _show_again(session, found, as_json=as_json)
            seen += 1
    return found


def _show_again(session: Session, found: Checklist, *, as_json: bool) -> None:
    from newbi_migrate.report.json import as_json as cleaned

    now = datetime.now().astimezone().isoformat(timespec="seconds")
    document = _document(session, found)
    if as_json:
        print(json.dumps(cleaned({"at": now, **document.value()})), flush=True)
    else:
        print(now)
        session.show(document)
        print(flush=True)


async def _first(session: Session) -> Checklist:
    """The status, with a sign of life while it is read."""
    with session.progress(quiet=True) as progress:
        return await _read(session, progress)


async def _read(session: Session, progress: Progress | None = None) -> Checklist:
    from newbi_migrate.migration.facade import Migration

    async with Migration(session.target, progress=progress) as migration:
        return await standing(migration)


async def standing(migration: Migration) -> Checklist:
    """How a database stands, with a brief look at the checklist."""
    return await migration.checklist(brief=True, status=await migration.status())
