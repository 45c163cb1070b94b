"""Results as values that JSON can hold: counts, ids, reasons; no personal data.

What a saved plan looks like is decided where plans are compared, in
:mod:`newbi_migrate.migration.planning.plan`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.migration.planning.plan import findings_to_json, plan_to_json, quarantine_to_json
from newbi_migrate.migration.planning.results import RunResult
from newbi_migrate.migration.status import Status
from newbi_migrate.store.lease import LeaseState
from newbi_migrate.store.runs import RunRecord

__all__ = ["plan_to_json", "result_to_json", "status_to_json"]


def result_to_json(result: RunResult) -> dict[str, Any]:
    """What a run did; ``runId`` is null where there was nothing to do. Timings are seconds."""
    plan = result.plan
    return {
        "database": plan.database,
        "source": plan.source,
        "runId": None if result.run_id is None else str(result.run_id),
        "resumed": result.resumed,
        "exitCode": int(result.exit_code),
        "policy": plan.options.policy(),
        "timings": dict(result.timings),
        "outcomes": {outcome.value: plan.outcomes.get(outcome, 0) for outcome in Outcome},
        "created": dict(result.created),
        "filled": dict(result.filled),
        "collections": {name: s.to_json() for name, s in result.collections.items()},
        "pending": dict(result.pending),
        "notRegistered": dict(plan.not_registered),
        "indexes": [decision.to_json() for decision in result.indexes],
        "collisions": [collision.to_json() for collision in plan.collisions],
        "quarantine": quarantine_to_json(result.quarantine),
        "findings": findings_to_json(result.findings),
    }


def status_to_json(status: Status) -> dict[str, Any]:
    """How a database stands. Times are UTC in ISO 8601."""
    unfinished = status.unfinished
    return {
        "database": status.database,
        "unfinished": None if unfinished is None else str(unfinished.run_id),
        "damage": None if status.damage is None else status.damage.what,
        "lease": None if status.lease is None else _lease(status.lease),
        "withoutWorkspace": dict(status.without_workspace),
        "organizationsWithoutMembers": status.organizations_without_members,
        "runs": [_run(run) for run in status.runs],
    }


def _lease(lease: LeaseState) -> dict[str, Any]:
    return {
        "held": lease.held,
        "runId": str(lease.holder.run_id),
        "command": lease.holder.command,
        "host": lease.holder.host,
        "pid": lease.holder.pid,
        "processEnded": lease.holder_ended,
        "since": _time(lease.since),
        "until": _time(lease.until),
        "secondsLeft": lease.seconds_left,
    }


def _run(run: RunRecord) -> dict[str, Any]:
    record = run.document
    return {
        "runId": str(run.run_id),
        "command": run.command,
        "state": run.state.value,
        "policy": dict(run.policy),
        "version": record.get("version"),
        "startedAt": _time(record.get("startedAt")),
        "finishedAt": _time(record.get("finishedAt")),
        "exitCode": record.get("exitCode"),
        "quarantined": record.get("quarantined"),
        "timings": dict(record.get("timings") or {}),
    }


def _time(value: object) -> str | None:
    if not isinstance(value, datetime):
        return None
    # PyMongo gives UTC without saying so.
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.isoformat(timespec="milliseconds")
