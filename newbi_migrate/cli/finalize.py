"""``newbi-migrate indexes`` and ``newbi-migrate finalize``."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.next_steps import after_finalize
from newbi_migrate.cli.running import Session
from newbi_migrate.report.text import counted

if TYPE_CHECKING:
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.migration.finalize.results import FinalizeResult
    from newbi_migrate.report.document import Document
    from newbi_migrate.store.runs import RunRecord

__all__ = ["finalize", "indexes"]


def indexes(
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Swap them for the new, instead of only showing them.")
    ] = False,
    confirm: opt.Confirm = False,
    call: opt.LoggedCall,
) -> None:
    """Show the indexes of the old structure that are left, or swap them for the new.

    Old unique indexes would refuse the same invoice number in two workspaces, and a collection can
    have only one text index. Missing indexes are built, too. An index that keeps something unique
    stays until its successor is there; nothing goes that has none. A rollback builds dropped
    indexes again.
    """
    with call.session("indexes") as session:
        if apply:
            session.must_be_able_to_ask(
                confirmed=confirm, instead="leave out --apply to see what it would do"
            )
        session.log_to(call.log_file, "indexes --apply" if apply else "indexes")
        looked = None
        if apply and not confirm:
            looked = session.review(lambda m: m.indexes(), partial(_document, session), _drops)
        done, runs = session.ask(
            lambda m: _with_runs(m, m.indexes(apply=apply, reviewed=looked)), writes=apply
        )
        session.finish(_document(session, done, runs))


def finalize(
    *,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the collection of legacy users under another name."),
    ] = False,
    drop_journal: Annotated[
        bool,
        typer.Option("--drop-journal", help="Drop the journal too; then no run can be taken back."),
    ] = False,
    dry_run: opt.DryRun = False,
    confirm: opt.Confirm = False,
    call: opt.LoggedCall,
) -> None:
    """End the migration: swap obsolete indexes, drop the collection of legacy users.

    It swaps indexes as indexes --apply does, whether that was run or not. It refuses unless the
    database validates, nothing is pending, and no user and no document is quarantined; with
    --keep, some may be. What was broken before the migration is listed, and is no obstacle. Without
    --keep, or with --drop-journal, the backup is the only way back.
    """
    with call.session("finalize") as session:
        if not dry_run:
            session.must_be_able_to_ask(confirmed=confirm)
        session.log_to(call.log_file, "finalize --dry-run" if dry_run else "finalize")
        looked = None
        if not (dry_run or confirm):
            looked = session.review(
                lambda m: m.finalize(keep=keep, drop_journal=drop_journal, dry_run=True),
                partial(_document, session),
                _drops,
            )
        done, runs = session.ask(
            lambda m: _with_runs(
                m,
                m.finalize(keep=keep, drop_journal=drop_journal, dry_run=dry_run, reviewed=looked),
            ),
            writes=not dry_run,
        )
        session.finish(_document(session, done, runs))


async def _with_runs(
    migration: Migration, doing: Awaitable[FinalizeResult]
) -> tuple[FinalizeResult, list[RunRecord]]:
    """What was done, and all runs as they are afterwards."""
    return await doing, await migration.runs()


def _drops(result: FinalizeResult) -> str:
    """What would go, in numbers; nothing where nothing is left."""
    if result.nothing_left:
        return ""
    said = f"drops {counted(len(result.dropped), 'index', 'indexes')} of the old structure"
    if result.created:
        said += f", builds {counted(len(result.created), 'index', 'indexes')}"
    if result.legacy is not None:
        users = f"{result.legacy} with {counted(result.legacy_users, 'legacy user')}"
        kept = result.kept_as
        said += f" and {users}" if kept is None else f" and renames {users} to {kept}"
    return f"{said}, and the journal" if result.journal_dropped else said


def _document(session: Session, result: FinalizeResult, runs: Sequence[RunRecord] = ()) -> Document:
    from newbi_migrate.report.finalize import finalize_document

    following = after_finalize(result, session.uri_arguments, runs)
    return finalize_document(result, next_command=following)
