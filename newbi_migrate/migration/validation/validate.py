"""Validating: every rule asked of a database, with what is broken, where, and what to do.

Structural rules are decided on groups of documents that the server counts, so that a million
documents cost one pass; of the rules of the models the server is asked who may break one, and only
these documents travel. Sends no write command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from newbi_migrate.errors import UsageError
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.owners import owner_of
from newbi_migrate.migration.planning.plan import chosen_collections
from newbi_migrate.migration.run.accounted import last_migration
from newbi_migrate.migration.run.recovery import refuse_lost_records
from newbi_migrate.migration.validation.documents import WorkspaceRules
from newbi_migrate.migration.validation.models import ModelRules
from newbi_migrate.migration.validation.origins import Origins
from newbi_migrate.migration.validation.report import ValidationReport
from newbi_migrate.migration.validation.request import (
    COMMENT,
    Collector,
    State,
    ValidationRequest,
)
from newbi_migrate.migration.validation.rules import STRUCTURAL
from newbi_migrate.migration.validation.structure import Structure
from newbi_migrate.progress import timed
from newbi_migrate.store.connection import nothing_there
from newbi_migrate.store.counting import estimated_counts
from newbi_migrate.store.lease import Lease
from newbi_migrate.store.runs import (
    RunRecord,
    RunState,
    is_finalized,
    read_runs,
    readable_collections,
    unfinished_run,
)

__all__ = ["ValidationRequest", "recorded_choices", "validate"]


async def validate(request: ValidationRequest) -> ValidationReport:
    """Ask every rule of a database. Sends no write command and needs no lease.

    Raises:
        UsageError: No rule has one of the ids in ``only``, or two collections hold legacy users.
        UnsupportedError: The database holds nothing.
        DamagedRecordsError: The records of runs, which are relied on, are not whole.
    """
    database = request.database
    runs = await read_runs(database)
    if request.unchanged:
        await refuse_lost_records(database, runs)
    lease = await Lease.current(database)
    under_way = request.asking is None and lease is not None and lease.under_way
    newest = _newest(runs)
    listed = await readable_collections(database, comment=COMMENT)
    if not listed:
        raise nothing_there(database.name)
    names = [name for name, info in listed.items() if info.holds_documents]
    unfinished = unfinished_run(run for run in runs if run.run_id != request.asking)
    migrated = newest is not None and unfinished is None
    back = unfinished is not None and unfinished.state is RunState.ROLLING_BACK
    collector = Collector(request, migrated=migrated, going_back=back)
    state = State(collector, Origins(database, runs))
    request = replace(request, options=recorded_choices(request.options, runs))
    specs = chosen_collections(request.registry, request.options)
    present = [spec for spec in specs if spec.name in names]
    state.notes += [
        f"{spec.name} is {listed[spec.name].oddity}: nothing was asked of its documents."
        for spec in specs
        if spec.name in listed and spec.name not in names
    ]
    owners = {spec.name: owner.name for spec in present if (owner := owner_of(spec)) is not None}
    models = ModelRules(request, specs, names, owners, COMMENT)
    known = [*STRUCTURAL, *models.ids()]
    _refuse_unknown(request.only, known)
    check = Structure(request, state, names, runs, newest)
    check.runs(under_way=under_way)
    with timed(state.timings, "people"):
        await check.people()
    with timed(state.timings, "documents"):
        documents = WorkspaceRules(request, state, runs, listed)
        sizes = await estimated_counts(
            database, [listed[spec.name] for spec in present], comment=COMMENT
        )
        request.progress.phase("documents", sum(sizes.values()))
        for spec in present:
            await documents.check(spec)
            request.progress.advance(sizes[spec.name], spec.name)
    with timed(state.timings, "references"):
        await check.references(present)
    with timed(state.timings, "indexes"):
        await check.indexes(present)
    if request.unchanged:
        with timed(state.timings, "unchanged"):
            await check.unchanged()
    with timed(state.timings, "models"):
        await models.check(state)
    if state.origins.lost:
        state.notes.append(
            f"What a run wrote cannot be told, since {state.origins.lost}: what may have been "
            "there before counts too."
        )
    return ValidationReport(
        database=database.name,
        run_id=None if newest is None else newest.run_id,
        under_way=under_way,
        checked=sum(map(request.wants, known)),
        documents=state.documents,
        results=state.violations.results(),
        quarantine=dict(state.quarantine),
        quarantine_examples=tuple(state.examples),
        sampled=request.sample,
        notes=tuple(state.notes),
        timings=state.timings,
        fail_on=request.fail_on,
        unchanged=state.unchanged,
        finalized=is_finalized(runs),
        options=request.options,
    )


def _newest(runs: Sequence[RunRecord]) -> RunRecord | None:
    return next((run for run in runs if run.stands and run.migrates), None)


def recorded_choices(options: MigrationOptions, runs: Sequence[RunRecord]) -> MigrationOptions:
    """The choices that the last migration was made with, where nothing else was asked for.

    A backfill decides about no user: its choices are those of the migration before it, whatever
    it was given.

    Args:
        options: What was asked for.
        runs: All runs, the newest first.
    """
    run = last_migration(runs) or _newest(runs)
    if run is None:
        return options
    recorded = MigrationOptions.from_policy(
        run.policy, batch_size=options.batch_size, workers=options.workers
    )
    return replace(
        recorded,
        legacy_collection=options.legacy_collection or recorded.legacy_collection,
        collections=options.collections,
        schema_day=options.schema_day or recorded.schema_day,
    )


def _refuse_unknown(only: Sequence[str], known: Sequence[str]) -> None:
    for pattern in only:
        if not any(fnmatchcase(rule_id, pattern) for rule_id in known):
            raise UsageError(
                f"No rule has the id {pattern!r}.",
                next_step="The ids are listed in docs/reference/rules.md; * stands for any "
                "characters, as in --only 'document.*'.",
            )
