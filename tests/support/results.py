"""Results of use-cases as values, small, with a little of everything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from bson import ObjectId

from newbi_migrate import IndexSpec
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.workspace import Directory, Reason, WorkspaceClass
from newbi_migrate.migration.options import MigrationOptions
from newbi_migrate.migration.results import (
    CollectionSummary,
    Collision,
    IndexAction,
    IndexDecision,
    Plan,
    Quarantine,
    RunResult,
    UserLine,
)

IDS = [ObjectId(f"{n:024x}") for n in range(1, 40)]


def a_plan(**changes):
    """Three users, one of whom is left out, and seven invoices, five of which are."""
    quarantine = Quarantine()
    quarantine.add("Users", "_id", Reason.EMAIL_MISSING, [IDS[1]])
    quarantine.add("invoices", "createdBy", Reason.OWNER_UNKNOWN, IDS[10:15])
    created = {"user": IDS[0], "organization": IDS[5]}
    classes = Counter({WorkspaceClass.MISSING: 6, WorkspaceClass.VALID: 1})
    plan = Plan(
        database="newbi",
        source="Users",
        options=MigrationOptions(),
        users=(
            UserLine(IDS[0], Outcome.CREATED, None, IDS[0], IDS[5], created, {}),
            UserLine(IDS[1], Outcome.QUARANTINED, Reason.EMAIL_MISSING, None, None),
            UserLine(IDS[2], Outcome.ALIASED, None, IDS[3], IDS[6], {}, {"user": 2}),
        ),
        collections={
            "invoices": CollectionSummary("invoices", 7, classes, 1, 0, 1, 5),
            "quotes": CollectionSummary("quotes"),
        },
        quarantine=quarantine,
        findings=(Finding("password-none", "Users", IDS[0], "password"),),
        indexes=(
            IndexDecision("invoices", IndexSpec((("workspaceId", 1),)), IndexAction.CREATE),
            IndexDecision(
                "quotes", IndexSpec((("number", 1),)), IndexAction.COLLISION, "Two share one."
            ),
        ),
        collisions=(Collision("quotes", "number_1", (IDS[20], IDS[21]), 2),),
        not_registered={"odd": 3},
        directory=Directory(),
        decisions=(),
        digests={"users": "ab"},
    )
    return replace(plan, **changes)


def a_clean_plan(**changes):
    """One user and six invoices, all of which go where they belong."""
    plan = a_plan(
        users=a_plan().users[:1],
        collections={
            "invoices": CollectionSummary(
                "invoices", 6, Counter({WorkspaceClass.MISSING: 6}), 6, 0, 0, 0
            )
        },
        quarantine=Quarantine(),
        findings=(),
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
        collections=plan.collections,
        quarantine=plan.quarantine,
        findings=plan.findings,
        indexes=plan.indexes,
        created={"user": 1, "organization": 1},
        filled={"user": 1},
        timings={"users": 0.1, "documents": 0.2, "documents.invoices": 0.2},
    )
    return replace(result, **changes)
