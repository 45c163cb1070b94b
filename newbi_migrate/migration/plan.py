"""Making a plan: everything a run would do, decided and digested, without a write.

A run makes the same plan again and follows it; a saved plan is compared by its digests.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import bson
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.errors import DatabaseMovedOnError, UsageError
from newbi_migrate.mapping.decisions import (
    Outcome,
    UserDecision,
    decide_users,
    directory_after,
)
from newbi_migrate.mapping.profiles import BetterAuthProfile
from newbi_migrate.mapping.users import (
    FIELD_NOT_CARRIED,
    FOLLOWS_MEMBERSHIP,
    Fill,
    Finding,
    UserWrites,
)
from newbi_migrate.mapping.workspace import Directory, Reason
from newbi_migrate.migration.documents import DocumentPlane, Surveyed
from newbi_migrate.migration.indexes import plan_index_changes
from newbi_migrate.migration.options import AliasOwners, MigrationOptions
from newbi_migrate.migration.results import NOT_PLAIN, Plan, Quarantine, UserLine
from newbi_migrate.migration.survey import Survey, odd_target, survey
from newbi_migrate.migration.users import UserPlane, line_of
from newbi_migrate.models.registry import CollectionSpec, Registry
from newbi_migrate.progress import Progress, Silent
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.runs import RunRecord

__all__ = [
    "PLAN_FORMAT",
    "chosen_collections",
    "findings_to_json",
    "load_plan",
    "make_plan",
    "plan_to_json",
    "quarantine_to_json",
    "refuse_if_moved_on",
    "refuse_other_choices",
    "refuse_other_database",
    "refuse_other_plan",
]

PLAN_FORMAT: Final = "newbi-migrate plan 1"
_COMMENT: Final = "newbi-migrate plan"


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
    database: AsyncDatabase[dict[str, Any]],
    registry: Registry,
    options: MigrationOptions,
    *,
    documents_only: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Decides everything a run would do. Sends no write command.

    Args:
        database: The database.
        registry: Its collections.
        options: The choices.
        documents_only: Plan a backfill: users are as they are, and who has not been migrated
            has no workspace.
        progress: Told of what is being read.

    Raises:
        UnsupportedError: A collection users are written to is no plain collection.
        NewbiMigrateError: See :func:`~newbi_migrate.migration.survey.survey`.
    """
    listener = progress or Silent()
    specs = chosen_collections(registry, options)
    seen = await survey(database, registry, source=options.legacy_collection, comment=_COMMENT)
    refusal = odd_target(seen.infos)
    if refusal is not None:
        raise refusal
    users = await _plan_users(database, seen, options, documents_only, listener)

    quarantine = Quarantine()
    for line in users.lines:
        if line.reason is not None and not documents_only:
            quarantine.add(seen.source, "_id", line.reason, [line.legacy_id])
    plane = DocumentPlane(
        database,
        registry,
        users.directory,
        rewrite_owners=options.alias_owners is AliasOwners.REWRITE,
        comment=_COMMENT,
        unwritable=seen.unwritable,
    )
    counts = {**seen.counts, **seen.unwritable}
    present = [s for s in specs if s.name in counts and plane.concerns(s)]
    listener.phase("survey documents", sum(counts[spec.name] for spec in present))
    surveyed: dict[str, Surveyed] = {}
    for spec in present:
        surveyed[spec.name] = await plane.survey(spec, listener)
        quarantine.extend(surveyed[spec.name].quarantine)
    users.findings += _following(users, surveyed)
    users.findings += [
        Finding(NOT_PLAIN[seen.infos[spec.name].kind], spec.name, None)
        for spec in specs
        if spec.name in seen.unwritable
    ]
    decisions, collisions = await plan_index_changes(
        database,
        [spec for spec in present if spec.name in seen.counts],
        users.directory,
        surveyed,
        workspace_field=registry.workspace_field,
        with_users=not documents_only,
        filled=users.filled,
        collections=seen.counts,
        comment=_COMMENT,
    )
    digests = {"users": users.digest}
    digests.update({name: found.digest for name, found in surveyed.items()})
    digests["indexes"] = _digest_of(json.dumps(d.to_json()).encode() for d in decisions)
    return Plan(
        database=database.name,
        source=seen.source,
        options=options,
        users=tuple(users.lines),
        collections={name: found.summary for name, found in surveyed.items()},
        quarantine=quarantine,
        findings=tuple(users.findings),
        indexes=decisions,
        collisions=collisions,
        not_registered=seen.not_registered,
        directory=users.directory,
        decisions=tuple(users.decisions),
        digests=digests,
    )


class _Users:
    """What planning the users gave."""

    def __init__(self) -> None:
        self.lines: list[UserLine] = []
        self.findings: list[Finding] = []
        self.directory = Directory()
        self.digest = ""
        self.decisions: list[UserDecision] = []
        # Ids of users who left the organization that was made for them, the legacy ones included.
        self.left: dict[ObjectId, ObjectId] = {}
        # Collection and path to the documents in which it is going to be filled.
        self.filled: dict[tuple[str, str], list[ObjectId]] = defaultdict(list)


async def _plan_users(
    database: AsyncDatabase[dict[str, Any]],
    seen: Survey,
    options: MigrationOptions,
    documents_only: bool,
    progress: Progress,
) -> _Users:
    plane = UserPlane(database, seen.source, comment=_COMMENT)
    planned = _Users()
    keys = await plane.keys()
    target, findings = await plane.target()
    planned.findings.extend(findings)
    decisions = list(
        decide_users(keys, target, duplicates=options.duplicate_emails, aliases=options.aliases)
    )
    planned.left = {
        identifier: decision.user_id
        for decision in decisions
        if decision.homeless is Reason.OWNER_WITHOUT_WORKSPACE and decision.user_id is not None
        for identifier in (decision.legacy_id, decision.user_id)
    }
    if documents_only:
        # Only what has become true already: an organization a later run would create is no
        # workspace yet.
        known = {(m.user_id, m.organization_id) for m in target.memberships}
        settled = [d for d in decisions if (d.user_id, d.workspace) in known]
        planned.directory = directory_after((key.id for key in keys), settled, target)
        planned.decisions = settled
        planned.digest = _digest_of(bson.encode({"": str(d)}) for d in settled)
        return planned
    planned.directory = directory_after((key.id for key in keys), decisions, target)
    planned.decisions = decisions
    progress.phase("plan users", len(decisions))
    by_id = {id_key(decision.legacy_id): decision for decision in decisions}
    hashes: list[bytes] = []
    not_carried: set[str] = set()
    async for batch in plane.writes(by_id, BetterAuthProfile.of(options.better_auth)):
        for writes in batch:
            planned.lines.append(line_of(writes))
            for fill in writes.writes:
                if isinstance(fill, Fill):
                    for path in fill.values:
                        planned.filled[fill.collection, path].append(fill.id)
            planned.findings.extend(writes.findings)
            not_carried.update(writes.not_carried)
            hashes.append(_bytes_of(writes))
        progress.advance(len(batch))
    planned.findings += [
        Finding(FIELD_NOT_CARRIED, seen.source, None, path) for path in sorted(not_carried)
    ]
    planned.digest = _digest_of(hashes)
    return planned


def _following(users: _Users, surveyed: Mapping[str, Surveyed]) -> list[Finding]:
    """Those who left their own organization and whose documents go into somebody else's."""
    found = {
        user_id
        for seen in surveyed.values()
        for owner, workspace in seen.owners.items()
        if (user_id := users.left.get(owner)) is not None
        and workspace == users.directory.home(owner)
    }
    return [Finding(FOLLOWS_MEMBERSHIP, "user", user_id) for user_id in sorted(found)]


def _bytes_of(writes: UserWrites) -> bytes:
    return bson.encode(
        {
            "decision": writes.decision.outcome.value,
            "reason": writes.decision.reason and writes.decision.reason.value,
            "id": writes.decision.legacy_id,
            "writes": [
                {"c": w.collection, "d": w.document}
                if hasattr(w, "document")
                else {"c": w.collection, "i": w.id, "v": dict(w.values)}
                for w in writes.writes
            ],
        }
    )


def _digest_of(parts: Iterable[bytes]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as a saved file holds it: decisions, ids and digests, no personal data."""
    return {
        "format": PLAN_FORMAT,
        "database": plan.database,
        "source": plan.source,
        "policy": plan.options.policy(),
        "digests": dict(plan.digests),
        "pending": plan.pending,
        "exitCode": int(plan.exit_code),
        "outcomes": {o.value: plan.outcomes.get(o, 0) for o in Outcome},
        "users": [line.to_json() for line in plan.users],
        "collections": {name: s.to_json() for name, s in plan.collections.items()},
        "notRegistered": dict(plan.not_registered),
        "indexes": [decision.to_json() for decision in plan.indexes],
        "collisions": [collision.to_json() for collision in plan.collisions],
        "quarantine": quarantine_to_json(plan.quarantine),
        "findings": findings_to_json(plan.findings),
    }


def quarantine_to_json(quarantine: Quarantine) -> list[dict[str, str]]:
    """The quarantined documents as JSON holds them."""
    return [
        {
            "collection": document.collection,
            "id": str(document.id),
            "path": document.path,
            "reason": document.reason.value,
        }
        for document in quarantine
    ]


def findings_to_json(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """The findings as JSON holds them."""
    return [finding.to_json() for finding in findings]


def load_plan(path: Path) -> Mapping[str, Any]:
    """Reads a saved plan.

    Raises:
        UsageError: The file cannot be read or is no plan of this version.
    """
    advice = "Make one with: newbi-migrate plan --output FILE."
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The plan {str(path)!r} cannot be read ({error.strerror}).", next_step=advice
        ) from error
    except ValueError as error:
        raise UsageError(
            f"The plan {str(path)!r} is damaged: it is not JSON.", next_step=advice
        ) from error
    if not isinstance(saved, dict) or saved.get("format") != PLAN_FORMAT:
        raise UsageError(f"The file {str(path)!r} is not a plan of this version.", next_step=advice)
    return saved


def refuse_other_database(saved: Mapping[str, Any], database: str) -> None:
    """Compares the database of a saved plan with the one at hand.

    Raises:
        UsageError: They differ.
    """
    if saved.get("database") != database:
        raise UsageError(
            f"The plan is for the database {saved.get('database')!r}, "
            f"and the connection string names {database!r}.",
            next_step="Use the connection string the plan was made with.",
        )


def refuse_if_moved_on(saved: Mapping[str, Any], plan: Plan) -> None:
    """Compares a saved plan with the one the database gives now.

    Raises:
        DatabaseMovedOnError: They differ; the message names the sections.
    """
    before = saved.get("digests")
    before = before if isinstance(before, dict) else {}
    differing = sorted(
        name
        for name in before.keys() | plan.digests.keys()
        if before.get(name) != plan.digests.get(name)
    )
    if differing:
        raise DatabaseMovedOnError(
            f"The database has moved on since the plan was made: {', '.join(differing)} differ.",
            next_step="Nothing was written. Make a new plan, review it, and apply that one.",
        )


def refuse_other_choices(unfinished: RunRecord, command: str, options: MigrationOptions) -> None:
    """Compares the choices at hand with those of a run that was interrupted.

    Raises:
        UsageError: They would not finish that run.
    """
    asked = {"command": command, **options.policy()}
    begun = {"command": unfinished.command, **unfinished.policy}
    # The source may be found out now and have been named then, which is the same choice.
    asked["legacyCollection"] = begun["legacyCollection"] = None
    differing = sorted(name for name in asked if asked[name] != begun.get(name))
    if differing:
        raise UsageError(
            f"The run {unfinished.run_id} was interrupted and had other choices: "
            + ", ".join(f"{name} was {begun.get(name)}" for name in differing)
            + ".",
            next_step="Finish it first, with the choices it was started with.",
        )


def refuse_other_plan(saved: Mapping[str, Any], unfinished: RunRecord) -> None:
    """Compares a saved plan with the one an interrupted run had begun to follow.

    Raises:
        DatabaseMovedOnError: It is another plan.
    """
    if unfinished.document.get("planDigests") != saved.get("digests"):
        raise DatabaseMovedOnError(
            f"The run {unfinished.run_id} was interrupted and followed another plan.",
            next_step="Finish it first: migrate without --plan, or with its own.",
        )
