"""Making a plan: everything a run would do, decided and digested, without a write.

A run makes the same plan again and follows it; a saved plan is compared by its digests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from typing import Final

from bson import ObjectId

from newbi_migrate.choices import AliasOwners
from newbi_migrate.documents.registry import CollectionSpec, Registry
from newbi_migrate.mapping.decisions import (
    Decisions,
    decide_users,
    workspaces_after,
    workspaces_now,
)
from newbi_migrate.mapping.users import FIELD_NOT_CARRIED, FOLLOWS_MEMBERSHIP, Finding, SetMissing
from newbi_migrate.mapping.workspace import Reason, Workspaces
from newbi_migrate.migration.planning.codes import EMAIL_REFUSED
from newbi_migrate.migration.planning.companions import companions_elsewhere
from newbi_migrate.migration.planning.digests import INDEXES, USERS, Digests, of_index, of_user
from newbi_migrate.migration.planning.documents import DocumentPlane, Surveyed
from newbi_migrate.migration.planning.index_plan import plan_index_changes
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.people import odd_accounts, odd_sessions
from newbi_migrate.migration.planning.refusals import foresee_refusals
from newbi_migrate.migration.planning.results import (
    NOT_PLAIN,
    CollectionSummary,
    Findings,
    IndexAction,
    Plan,
    Quarantine,
    UserLines,
)
from newbi_migrate.migration.planning.survey import Survey, odd_target, refusing_index, survey
from newbi_migrate.migration.planning.unusable import unusable_ids
from newbi_migrate.migration.planning.users import UserPlane, line_of
from newbi_migrate.migration.run.accounted import (
    last_migration,
    recorded_aliases,
    recorded_reasons,
    unaccounted_users,
)
from newbi_migrate.progress import NullProgress, Progress
from newbi_migrate.store.collections import CollectionInfo, views_on
from newbi_migrate.store.handles import Database
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.runs import RunRecord, quarantined_documents, read_runs

__all__ = [
    "chosen_collections",
    "make_plan",
]

_COMMENT: Final = "newbi-migrate plan"
# What a run does with an index, or reports that it does not; the others are left alone.
_OF_A_RUN: Final = (
    IndexAction.CREATE,
    IndexAction.DEFERRED,
    IndexAction.CONFLICT,
    IndexAction.COLLISION,
)


def chosen_collections(registry: Registry, options: MigrationOptions) -> list[CollectionSpec]:
    """The collections a run with these options goes through, parents first.

    Raises:
        UsageError: The options name a collection the registry does not know.
    """
    whole = registry if options.schema_day is None else registry.as_of(options.schema_day)
    if options.collections is None:
        return list(whole)
    wanted = {whole[name].name for name in options.collections}
    return [spec for spec in whole if spec.name in wanted]


async def make_plan(
    database: Database,
    registry: Registry,
    options: MigrationOptions,
    *,
    documents_only: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Decide everything a run would do. Sends no write command.

    Args:
        database: The database.
        registry: Its collections.
        options: The choices.
        documents_only: Plan a backfill: users are as they are, and who has not been migrated
            has no workspace.
        progress: Told of what is being read.

    Raises:
        UnsupportedError: A collection users are written to is no plain collection.
        NewbiMigrateError: See :func:`~newbi_migrate.migration.planning.survey.survey`.
    """
    listener = progress or NullProgress()
    specs = chosen_collections(registry, options)
    seen = await survey(database, registry, source=options.legacy_collection, comment=_COMMENT)
    refusal = odd_target(seen.infos)
    if refusal is None and not documents_only:
        refusal = await refusing_index(database, seen.infos)
    if refusal is not None:
        raise refusal
    listener.phase("read users", None)
    runs = await read_runs(database)
    users = await _plan_users(database, seen, runs, options, documents_only, listener)

    quarantine = Quarantine()
    left_out: set[bytes] = set()
    for line in users.lines:
        if line.reason is not None and not documents_only:
            quarantine.add(seen.source, "_id", line.reason, [line.legacy_id])
            left_out.add(id_key(line.legacy_id))
    odd_users = users.lines.odd_users
    plane = DocumentPlane(
        database,
        registry,
        users.workspaces,
        rewrite_owners=options.alias_owners is AliasOwners.REWRITE,
        comment=_COMMENT,
        unwritable=seen.unwritable,
        odd_users=odd_users,
    )
    counts = {**seen.counts, **seen.unwritable}
    concerned = [s for s in specs if s.name in counts and plane.concerns(s)]
    plain = [spec for spec in concerned if spec.name in seen.counts]
    # What a view shows of a collection that the run goes through is decided about there.
    shown = views_on(seen.infos, {spec.name for spec in plain})
    present = [spec for spec in concerned if spec.name not in shown]
    listener.phase("survey documents", sum(counts[spec.name] for spec in present))
    surveyed: dict[str, Surveyed] = {}
    for spec in present:
        surveyed[spec.name] = await plane.survey(spec, listener, users.left)
        quarantine.extend(surveyed[spec.name].quarantine)
        users.findings.extend(surveyed[spec.name].findings)
    users.findings.extend(_following(users, surveyed))
    users.findings.extend(
        Finding(NOT_PLAIN[seen.infos[spec.name].kind], spec.name, None)
        for spec in specs
        if spec.name in seen.unwritable
    )
    async for finding in companions_elsewhere(database, plane, plain, comment=_COMMENT):
        users.findings.append(finding)
    async for finding in unusable_ids(
        database,
        [spec for spec in specs if spec.name in seen.counts],
        surveyed,
        workspace_field=registry.workspace_field,
        comment=_COMMENT,
    ):
        users.findings.append(finding)
    if "session" in seen.counts:
        organizations = users.workspaces.organizations
        async for finding in odd_sessions(database, organizations, comment=_COMMENT):
            users.findings.append(finding)
    decisions, collisions = await plan_index_changes(
        database,
        plain,
        users.workspaces,
        surveyed,
        workspace_field=registry.workspace_field,
        with_users=not documents_only,
        filled=users.filled,
        collections=seen.counts,
        odd_users=odd_users,
        comment=_COMMENT,
        progress=listener,
    )
    await _without_refusals(database, plain, seen.infos, plane, surveyed, quarantine)
    digests = Digests({name: found.digest for name, found in surveyed.items()})
    digests.add(USERS, users.digest)
    for decision in decisions:
        if decision.action in _OF_A_RUN:
            name, action = decision.spec.name, decision.action.value
            digests.add(INDEXES, of_index(decision.collection, name, action))
    return Plan(
        database=database.name,
        source=seen.source,
        options=options,
        users=users.lines,
        collections={name: found.summary for name, found in surveyed.items()},
        quarantine=quarantine,
        findings=users.findings,
        indexes=decisions,
        collisions=collisions,
        not_registered=seen.not_registered,
        workspaces=users.workspaces,
        digests=digests,
        unrecorded=(
            bool(quarantine)
            and await _is_unrecorded(
                database, runs, left_out, [s.summary for s in surveyed.values()]
            )
        )
        or (not documents_only and await _went_back(database, runs, seen.source)),
    )


async def _without_refusals(
    database: Database,
    specs: Sequence[CollectionSpec],
    infos: Mapping[str, CollectionInfo],
    plane: DocumentPlane,
    surveyed: dict[str, Surveyed],
    quarantine: Quarantine,
) -> None:
    """Quarantine what the server would refuse."""
    for spec in specs:
        surveyed[spec.name], refused = await foresee_refusals(
            database, spec, infos[spec.name], plane, surveyed[spec.name], comment=_COMMENT
        )
        quarantine.extend(refused)


async def _is_unrecorded(
    database: Database,
    runs: Sequence[RunRecord],
    users: AbstractSet[bytes],
    documents: Iterable[CollectionSummary],
) -> bool:
    """Whether no run has recorded some users, by their keys, or documents as quarantined."""
    if any(
        one.quarantined > quarantined_documents(runs, one.name)
        or one.quarantined_without > quarantined_documents(runs, one.name, without_workspace=True)
        for one in documents
    ):
        return True
    return bool(users) and not users <= (await recorded_reasons(database, runs)).keys()


async def _went_back(database: Database, runs: Sequence[RunRecord], source: str) -> bool:
    """Whether a legacy user went back with a part of a run, and no run has recorded them since."""
    if not any(run.partly_rolled_back for run in runs):
        return False
    found = await unaccounted_users(database, source, runs, quarantined=True, comment=_COMMENT)
    return found.number > 0


class _Users:
    """What planning the users gave."""

    def __init__(self) -> None:
        self.lines = UserLines(Decisions())
        self.findings = Findings()
        self.workspaces = Workspaces()
        self.digest = 0
        # Ids of users who left the organization that was made for them, the legacy ones included.
        self.left: dict[ObjectId, ObjectId] = {}
        # Collection and path to the documents in which it is going to be filled.
        self.filled: dict[tuple[str, str], list[ObjectId]] = defaultdict(list)


def _of_the_migration(runs: Sequence[RunRecord], options: MigrationOptions) -> MigrationOptions:
    """The choices of the last migration, which decided who is who: a backfill does not."""
    last = last_migration(runs)
    if last is None:
        return options
    return MigrationOptions.from_policy(
        last.policy, batch_size=options.batch_size, workers=options.workers
    )


async def _plan_users(
    database: Database,
    seen: Survey,
    runs: Sequence[RunRecord],
    options: MigrationOptions,
    documents_only: bool,
    progress: Progress,
) -> _Users:
    plane = UserPlane(database, seen.source, comment=_COMMENT)
    planned = _Users()
    keys = await plane.keys()
    target, odd = await plane.target()
    became = await recorded_aliases(database, runs, comment=_COMMENT)
    chosen = _of_the_migration(runs, options) if documents_only else options
    decisions = Decisions(
        decide_users(
            keys,
            target,
            duplicates=chosen.duplicate_emails,
            aliases=chosen.aliases,
            became=became,
        )
    )
    legacy_ids = keys.ids
    # What is known of all users is held no longer than it takes to decide about them.
    del keys
    planned.left = {
        identifier: decision.user_id
        for decision in decisions
        if decision.no_workspace_reason is Reason.OWNER_WITHOUT_WORKSPACE
        and decision.user_id is not None
        for identifier in (decision.legacy_id, decision.user_id)
    }
    if documents_only:
        planned.workspaces = workspaces_now(legacy_ids, decisions, target, became)
        nobody = Decisions()
        planned.findings.extend(await odd.after(target, nobody))
        planned.findings.extend(odd.no_email(()))
        async for finding in odd_accounts(
            database, target.users, nobody, planned.findings, comment=_COMMENT
        ):
            planned.findings.append(finding)
        return planned
    planned.workspaces = workspaces_after(legacy_ids, decisions, target, became)
    planned.findings.extend(await odd.after(target, decisions))
    existing = target.users
    del target
    planned.lines = UserLines(decisions)
    progress.phase("plan users", len(decisions))
    not_carried: set[str] = set()
    async for batch in plane.writes(decisions):
        for writes in batch:
            planned.lines.append(line_of(writes))
            for fill in writes.writes:
                if isinstance(fill, SetMissing):
                    for path in fill.values:
                        planned.filled[fill.collection, path].append(fill.id)
            # Of addresses that are stored already those of all users were looked at.
            planned.findings.extend(
                finding
                for finding in writes.findings
                if (finding.code, finding.collection) != (EMAIL_REFUSED, "user")
            )
            not_carried.update(writes.not_carried)
            planned.digest += of_user(writes, seen.source)
        progress.advance(len(batch))
    planned.findings.extend(
        Finding(FIELD_NOT_CARRIED, seen.source, None, path) for path in sorted(not_carried)
    )
    planned.findings.extend(odd.no_email(set(planned.filled.get(("user", "email"), ()))))
    async for finding in odd_accounts(
        database, existing, decisions, planned.findings, comment=_COMMENT
    ):
        planned.findings.append(finding)
    return planned


def _following(users: _Users, surveyed: Mapping[str, Surveyed]) -> list[Finding]:
    """Those who left their own organization and whose documents go into somebody else's."""
    found = {
        user_id
        for seen in surveyed.values()
        for owner, workspace in seen.owners.items()
        if (user_id := users.left.get(owner)) is not None
        and workspace == users.workspaces.of_user(owner)
    }
    return [Finding(FOLLOWS_MEMBERSHIP, "user", user_id) for user_id in sorted(found)]
