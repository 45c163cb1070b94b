"""What has come since a rehearsal: its decisions compared with those the database gives now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import bson
from bson import ObjectId
from bson.errors import BSONError
from pydantic import computed_field

from newbi_migrate.answers import called
from newbi_migrate.extended_json import from_extended_json
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.plan_file import SavedDecision, SavedOwner, load_plan
from newbi_migrate.migration.planning.results import Plan

__all__ = ["OtherDecision", "SinceRehearsal", "since_rehearsal"]


@dataclass(frozen=True, slots=True)
class OtherDecision:
    """Somebody for whom the database decides otherwise than it did in the rehearsal.

    Attributes:
        id: The legacy user, or the user whom no legacy user became.
        then: What was decided, in a few words.
        now: What is decided now.
    """

    id: Any
    then: str
    now: str


@dataclass(slots=True)
class SinceRehearsal:
    """What has come between a rehearsal and now.

    Attributes:
        rehearsed_users: Legacy users who were rehearsed and are still there.
        new_users: Legacy users who have come.
        gone_users: Legacy users who are no longer there.
        documents: Collection to how many documents more it has; fewer are negative.
        others: Users and owners for whom it decides otherwise.
        policy: Choices that were others, by name, with what they were.
    """

    rehearsed_users: int = 0
    new_users: int = 0
    gone_users: int = 0
    documents: dict[str, int] = field(default_factory=dict)
    others: Annotated[list[OtherDecision], called("otherDecisions")] = field(default_factory=list)
    policy: Annotated[dict[str, Any], called("otherChoices")] = field(default_factory=dict)

    @property
    def of_another(self) -> bool:
        """Whether it was of another database: its users are others, all of them."""
        return bool(self.gone_users and self.new_users) and not self.rehearsed_users

    @computed_field
    @property
    def as_rehearsed(self) -> bool:
        """Whether everybody who was rehearsed is decided about as in the rehearsal."""
        return not (self.others or self.policy or self.of_another)


def since_rehearsal(path: Path, plan: Plan) -> SinceRehearsal:
    """Compare the decisions of a rehearsal with those of a plan made now.

    Args:
        path: The decisions, as ``rehearse --output`` writes them: a saved plan.
        plan: What the database gives now.

    Raises:
        UsageError: The file is no saved plan, or damaged.
    """
    found = SinceRehearsal()
    decisions = plan.users.decisions

    def on_decision(then: SavedDecision) -> None:
        identifier = _id_of(then.legacyId)
        position = decisions.position(identifier)
        if position < 0:
            found.gone_users += 1
            return
        found.rehearsed_users += 1
        now = decisions.at(position)
        # Whom a migration created is there already for the plan that follows it.
        done = (then.outcome, now.outcome) == (Outcome.CREATED, Outcome.PRESENT)
        outcome = then.outcome if done else now.outcome
        was = _words(then.outcome, then.reason, then.userId, then.workspaceId)
        became = _words(outcome, now.reason, now.user_id, now.workspace)
        if was != became:
            found.others.append(OtherDecision(identifier, was, became))

    def on_owner(then: SavedOwner) -> None:
        user = ObjectId(then.userId)
        now = plan.workspaces.of_user(user)
        became = now.value if isinstance(now, Reason) else str(now)
        if became != then.workspaceId:
            was = f"workspace {then.workspaceId}"
            found.others.append(OtherDecision(user, was, _workspace_words(now)))

    saved = load_plan(path, on_decision=on_decision, on_owner=on_owner)
    found.new_users = len(plan.users) - found.rehearsed_users
    found.documents = _difference(saved.documents, plan)
    policy = plan.options.policy()
    # Found out by itself in one, and named in the other, it is the same choice.
    found.policy = {
        name: was
        for name, was in saved.policy.items()
        if policy.get(name) != was and name != "legacyCollection"
    }
    return found


def _difference(then: Mapping[str, int], plan: Plan) -> dict[str, int]:
    now = {name: summary.documents for name, summary in plan.collections.items()}
    more = {name: now.get(name, 0) - then.get(name, 0) for name in sorted({*then, *now})}
    return {name: count for name, count in more.items() if count}


def _id_of(extended: Any) -> Any:
    """An id from its canonical Extended JSON.

    Raises:
        ValueError: It is none.
    """
    identifier = from_extended_json(json.dumps(extended))
    try:
        bson.encode({"": identifier})
    except (OverflowError, BSONError) as error:
        raise ValueError("no document holds it") from error
    return identifier


def _words(outcome: Any, reason: Any, user_id: object, workspace: object) -> str:
    parts = [outcome.value]
    parts += [] if reason is None else [reason.value]
    parts += [] if user_id is None else [f"user {user_id}"]
    parts += [] if workspace is None else [f"workspace {workspace}"]
    return ", ".join(parts)


def _workspace_words(found: ObjectId | Reason) -> str:
    return found.value if isinstance(found, Reason) else f"workspace {found}"
