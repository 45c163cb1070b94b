"""Taking a restore of single collections back: what was put aside gets its place again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from newbi_migrate.errors import UsageError
from newbi_migrate.migration.rollback.results import RollbackOptions, RollbackResult
from newbi_migrate.progress import timed
from newbi_migrate.store.collections import collections
from newbi_migrate.store.counting import count
from newbi_migrate.store.handles import Database
from newbi_migrate.store.replacements import Replacement, put_back, replacements_of
from newbi_migrate.store.runs import RunRecord, RunState, RunWriter
from newbi_migrate.store.session import LeasedSession

__all__ = ["preview_replaced", "put_replaced_back"]


async def preview_replaced(
    database: Database, run: RunRecord, options: RollbackOptions
) -> RollbackResult:
    """What taking a restore back would do; writes nothing.

    Raises:
        UsageError: A part of it is asked for, or what it put aside is no longer there.
    """
    if not options.whole:
        raise UsageError(
            f"The run {run.run_id} restored whole collections; a part of it cannot be taken back.",
            next_step="Take all of it back.",
        )
    result = RollbackResult(database.name, run.run_id, run.command, True, options)
    comment = str(run.run_id)
    infos = await collections(database, comment=comment)
    for one in await _as_it_stands(database, run):
        # What is there was never in place: it is not whole, or was overtaken by another process.
        if one.restoring in infos and one.is_left_over(infos[one.restoring].uuid):
            result.collections_dropped.append(one.restoring)
        if not one.restored:
            continue
        names = {info.uuid: name for name, info in infos.items() if info.uuid}
        was, now = names.get(one.before), names.get(one.restored)
        if one.before and was is None:
            raise UsageError(
                f"The collection {one.aside}, which the run {run.run_id} put aside, is no longer "
                "there, so it cannot be taken back.",
                next_step="Nothing was written. If you have a backup, restore that collection from "
                f"it: newbi-migrate restore --collections {one.collection} --drop BACKUP.",
            )
        if was is not None and was != one.collection:
            result.collections_renamed.append((was, one.collection))
        # One that somebody has renamed stays where it is.
        if now in (one.collection, one.restoring):
            documents = await count(database[now], comment=comment)
            result.put_aside.append((one.collection, one.aside, documents))
    return result


async def put_replaced_back(
    session: LeasedSession,
    run: RunRecord,
    result: RollbackResult,
    policy: Mapping[str, Any],
) -> None:
    """Take a restore back; the same call finishes it.

    Args:
        session: The leased session.
        run: The restore.
        result: What :func:`preview_replaced` found, before anything was renamed.
        policy: The choices, as the record of the run keeps them.

    Raises:
        DatabaseMovedOnError: Somebody made a collection of one of the names in that moment.
        NewbiMigrateError: The session stopped it.
    """
    result.dry_run, result.written = False, True
    record = RunWriter(session)
    await record.take_over()
    with timed(result.timings, "structure"):
        replaced = await _as_it_stands(session.database, run)
        if run.state is not RunState.ROLLED_BACK:
            found = {"replaced": [one.to_record() for one in replaced]}
            await record.rolling_back(policy, found)
        for one in replaced:
            await put_back(session, one)
    await record.rolled_back(result.to_record(), whole=True)


async def _as_it_stands(database: Database, run: RunRecord) -> Sequence[Replacement]:
    """What a run replaced, with the identities of what is there now.

    Those of its record may be older: whoever restored the whole database since has others.
    """
    replaced = replacements_of(run)
    if not run.stands:
        return replaced
    infos = await collections(database, comment=str(run.run_id))
    uuids = {name: info.uuid for name, info in infos.items()}
    found = []
    for one in replaced:
        before = uuids.get(one.aside, one.before) if one.before else ""
        here = uuids.get(one.collection, "")
        # Somebody may have given what was put aside its place back by hand.
        restored = one.restored if here in ("", before) else here
        found.append(replace(one, before=before, restored=restored))
    return found
