"""Results of use-cases as values, small, with a little of everything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from bson import ObjectId

from newbi_migrate import IndexSpec
from newbi_migrate.choices import OnConflict
from newbi_migrate.mapping.decisions import Decisions, Outcome, UserDecision
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass, Workspaces
from newbi_migrate.migration.planning.digests import Digests
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.results import (
    CollectionSummary,
    Findings,
    IndexAction,
    IndexDecision,
    Plan,
    PlannedCollision,
    Quarantine,
    QuarantinedDocument,
    RunResult,
    UserLine,
    UserLines,
)
from newbi_migrate.migration.rollback.results import (
    Conflict,
    ConflictKind,
    DocumentsBack,
    Kept,
    KeptReason,
    RollbackOptions,
    RollbackResult,
)
from newbi_migrate.migration.validation.report import (
    FailOn,
    FoundViolation,
    Origin,
    Proof,
    RuleResult,
    Unchanged,
    ValidationReport,
)
from newbi_migrate.rules import Severity

IDS = [ObjectId(f"{n:024x}") for n in range(1, 40)]


def user_lines(*users):
    """The lines of a plan."""
    decided = (
        UserDecision(n.legacy_id, n.outcome, n.reason, n.user_id, n.workspace) for n in users
    )
    lines = UserLines(Decisions(decided))
    for line in users:
        lines.append(line)
    return lines


def a_plan(**changes):
    """Three users, one of whom is quarantined, and seven invoices, five of which are."""
    quarantine = Quarantine()
    quarantine.add("Users", "_id", Reason.EMAIL_MISSING, [IDS[1]])
    quarantine.add("invoices", "createdBy", Reason.OWNER_UNKNOWN, IDS[10:15])
    created = {"user": IDS[0], "organization": IDS[5]}
    classes = Counter({WorkspaceClass.MISSING: 6, WorkspaceClass.VALID: 1})
    plan = Plan(
        database="newbi",
        source="Users",
        options=MigrationOptions(),
        users=user_lines(
            UserLine(IDS[0], Outcome.CREATED, None, IDS[0], IDS[5], created, {}),
            UserLine(IDS[1], Outcome.QUARANTINED, Reason.EMAIL_MISSING, None, None),
            UserLine(IDS[2], Outcome.ALIASED, None, IDS[3], IDS[6], {}, {"user": 2}),
        ),
        collections={
            "invoices": CollectionSummary("invoices", 7, classes, 1, 0, 1, 5),
            "quotes": CollectionSummary("quotes"),
        },
        quarantine=quarantine,
        findings=Findings([Finding("password-none", "Users", IDS[0], "password")]),
        indexes=(
            IndexDecision("invoices", IndexSpec((("workspaceId", 1),)), IndexAction.CREATE),
            IndexDecision(
                "quotes", IndexSpec((("number", 1),)), IndexAction.COLLISION, "Two share one."
            ),
        ),
        collisions=(PlannedCollision("quotes", "number_1", 2, ((IDS[20], None), (IDS[21], None))),),
        not_registered={"odd": 3},
        workspaces=Workspaces(),
        digests=Digests({"users": 0xAB}),
    )
    return replace(plan, **changes)


def a_clean_plan(**changes):
    """One user and six invoices, all of which go where they belong."""
    plan = a_plan(
        users=user_lines(*a_plan().users[:1]),
        collections={
            "invoices": CollectionSummary(
                "invoices", 6, Counter({WorkspaceClass.MISSING: 6}), 6, 0, 0, 0
            )
        },
        quarantine=Quarantine(),
        findings=Findings(),
        indexes=a_plan().indexes[:1],
        collisions=(),
        not_registered={},
    )
    return replace(plan, **changes)


def a_result(plan=None, **changes):
    """The run that followed a plan."""
    plan = a_plan() if plan is None else plan
    result = RunResult(
        run_id=IDS[30],
        resumed=False,
        plan=plan,
        outcomes=plan.outcomes,
        collections=plan.collections,
        quarantine=plan.quarantine,
        findings=plan.findings,
        indexes=plan.indexes,
        created={"user": 1, "organization": 1},
        filled={"user": 1},
        timings={"users": 0.1, "documents": 0.2, "documents.invoices": 0.2},
    )
    return replace(result, **changes)


def a_rule(rule, severity, violations, origin=Origin.RUN):
    """A rule that some invoices break."""
    ids = IDS[:violations]
    examples = [FoundViolation(rule, severity, "invoices", i, "number", origin=origin) for i in ids]
    sentence, step = f"{rule} holds.", f"Mend {rule}."
    return RuleResult(rule, sentence, severity, step, "invoices", origin, violations, examples)


def a_validation(**changes):
    """A validation that found something of each severity and origin, and somebody quarantined."""
    report = ValidationReport(
        database="newbi",
        run_id=IDS[30],
        under_way=False,
        checked=9,
        documents={"invoices": 7, "quotes": 2},
        results=(
            a_rule("invoice.number", Severity.CRITICAL, 2),
            a_rule("invoice.due-date", Severity.WARNING, 1),
            a_rule("field.current-shape", Severity.INFO, 1),
            a_rule("invoice.number", Severity.CRITICAL, 3, Origin.BEFORE),
        ),
        quarantine={"Users": Counter({Reason.EMAIL_MISSING: 1})},
        quarantine_examples=(QuarantinedDocument("Users", IDS[9], "_id", Reason.EMAIL_MISSING),),
        sampled=None,
        notes=("A note.",),
        timings={"structure": 0.5},
        fail_on=FailOn.CRITICAL,
        unchanged=Unchanged(Proof.PROVEN, 9),
    )
    return replace(report, **changes)


def a_rollback(*, conflicts=2, kept=1, on_conflict=OnConflict.STOP, dry_run=False):
    """A rollback with somebody's changes in the way and a user whose documents stay."""
    result = RollbackResult("newbi", IDS[30], "migrate", dry_run, RollbackOptions(on_conflict))
    result.documents = {"invoices": DocumentsBack(5, 1, 0, conflicts), "quotes": DocumentsBack(2)}
    result.deleted = Counter({"user": 3})
    result.unfilled = Counter({"organization": 1})
    result.kept = [Kept(i, KeptReason.IN_USE, {"user": i}, {"invoices": 2}) for i in IDS[:kept]]
    for i in IDS[:conflicts]:
        result.conflicts.add(Conflict(ConflictKind.CHANGED, "invoices", i, "workspaceId"))
    result.indexes_dropped = [("invoices", "workspaceId_1")]
    result.collections_renamed = [("Users_before_migration", "Users")]
    result.timings = {"documents": 0.4}
    return result
