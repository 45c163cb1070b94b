"""Traces of an earlier attempt: what the first scripts and their repairs left behind.

Each trace is one question to the server, and says what a run is going to make of it. A trace is no
reason not to run; people should only know of it before, not after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from newbi_migrate.checks import Check, Level
from newbi_migrate.documents.registry import Registry
from newbi_migrate.store.collections import collections
from newbi_migrate.store.counting import count_by
from newbi_migrate.store.handles import Database

__all__ = ["TRACES", "Trace", "look_for_leftovers"]

_Pipeline = Sequence[Mapping[str, Any]]
_COMMENT: Final = "newbi-migrate doctor"


@dataclass(frozen=True, slots=True)
class Trace:
    """Something an earlier attempt left.

    Attributes:
        id: Its name.
        collection: Where it is looked for.
        pipeline: Gives the number ``n`` of documents that show it, or nothing.
        phrase: What they are; their number follows.
        remedy: What a run does with them, or what a person can do.
    """

    id: str
    collection: str
    pipeline: _Pipeline
    phrase: str
    remedy: str


def _typed(path: str, *types: str) -> dict[str, Any]:
    return {path: {"$type": list(types)}}


def _without(
    matching: Mapping[str, Any],
    local: str,
    collection: str,
    foreign: str,
    *,
    among: Mapping[str, Any] | None = None,
) -> list[Mapping[str, Any]]:
    """Count documents whose field ``local`` is found in no field ``foreign`` elsewhere.

    Both sides are read once and grouped: before a migration there may be no index that a lookup
    of each document could use.
    """
    return [
        {"$match": matching},
        {"$project": {"_id": 0, "key": f"${local}", "here": {"$literal": 1}}},
        {
            "$unionWith": {
                "coll": collection,
                "pipeline": [
                    {"$match": among or {}},
                    {"$project": {"_id": 0, "key": f"${foreign}", "there": {"$literal": 1}}},
                ],
            }
        },
        {"$group": {"_id": "$key", "here": {"$sum": "$here"}, "there": {"$sum": "$there"}}},
        {"$match": {"here": {"$gt": 0}, "there": 0}},
        {"$group": {"_id": None, "n": {"$sum": "$here"}}},
    ]


def _which(*stages: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Count what some stages give."""
    return [*stages, {"$count": "n"}]


_LEFT_ALONE: Final = "A run leaves them as they are and lists them; repair or remove them by hand."

TRACES: Final[tuple[Trace, ...]] = (
    Trace(
        "metadata-objects",
        "organization",
        _which({"$match": _typed("metadata", "object")}),
        "Organizations with the company as an object in metadata, where the application does not "
        "look for it",
        "A run fills in the fields the application reads, from the legacy user, and leaves "
        "metadata alone.",
    ),
    Trace(
        "text-ids",
        "user",
        _which({"$match": {"_id": {"$not": {"$type": "objectId"}}}}),
        "Users whose _id is not an ObjectId, so that they sign in and get no session",
        _LEFT_ALONE,
    ),
    Trace(
        "text-organizations",
        "organization",
        _which({"$match": {"_id": {"$not": {"$type": "objectId"}}}}),
        "Organizations whose _id is not an ObjectId",
        _LEFT_ALONE,
    ),
    Trace(
        "text-members",
        "member",
        _which(
            {"$match": {"$or": [_typed("userId", "string"), _typed("organizationId", "string")]}}
        ),
        "Memberships with ids as text, which the application does not see",
        "A run goes by memberships with ObjectIds alone, and makes what is missing; remove the "
        "others by hand.",
    ),
    Trace(
        "text-accounts",
        "account",
        _which({"$match": _typed("userId", "string")}),
        "Accounts with their user's id as text, with which nobody can sign in",
        "A run makes no second one, which would have the same accountId; store userId as an "
        "ObjectId by hand.",
    ),
    Trace(
        "members-of-nothing",
        "member",
        _without(_typed("organizationId", "objectId"), "organizationId", "organization", "_id"),
        "Memberships in organizations that do not exist",
        _LEFT_ALONE,
    ),
    Trace(
        "members-without-user",
        "member",
        _without(_typed("userId", "objectId"), "userId", "user", "_id"),
        "Memberships of users that do not exist, whose organizations the application cannot show",
        "A run creates those who are legacy users; remove the others by hand.",
    ),
    Trace(
        "organizations-without-members",
        "organization",
        _without({}, "_id", "member", "organizationId"),
        "Organizations without a member",
        _LEFT_ALONE,
    ),
    Trace(
        "several-organizations",
        "member",
        _which(
            {"$match": {"role": "owner"}},
            {"$group": {"_id": "$userId", "n": {"$sum": 1}}},
            {"$match": {"n": {"$gt": 1}}},
        ),
        "Users who own several organizations, as after a script that ran twice",
        "A run quarantines documents of which it cannot tell to which they belong, and lists them.",
    ),
    Trace(
        "passwords-without-account",
        "user",
        _without(
            {"password": {"$regex": r"^\$2[aby]\$"}},
            "_id",
            "account",
            "userId",
            among={"providerId": "credential"},
        ),
        "Users with a password and no account to sign in with",
        "A run makes the account from the legacy user's password.",
    ),
    Trace(
        "pointers-to-organizations",
        "user",
        _which(
            {
                "$match": {
                    "$or": [
                        {"workspaceId": {"$exists": True}},
                        {"organizationId": {"$exists": True}},
                    ]
                }
            }
        ),
        "Users that name an organization themselves, maybe another than their membership does",
        "Nothing here reads it; a run leaves it alone.",
    ),
    Trace(
        "keys-of-users",
        "jwks",
        _which(
            {
                "$lookup": {
                    "from": "user",
                    "localField": "_id",
                    "foreignField": "_id",
                    "as": "found",
                    "pipeline": [{"$project": {"_id": 1}}],
                }
            },
            {"$match": {"found": {"$ne": []}}},
        ),
        "Signing keys made for single users, which the application cannot decrypt",
        "Remove them by hand: Better Auth makes its own. No run touches jwks.",
    ),
)
"""The traces, in the order in which they are reported."""


async def look_for_leftovers(database: Database, registry: Registry) -> list[Check]:
    """Look for every trace; one check for each that is there, or one that says there is none."""
    infos = await collections(database, comment=_COMMENT)
    # A view has a collation of its own, or cannot be read at all; no run writes to it.
    names = {name for name, info in infos.items() if info.holds_documents}
    checks = [
        Check(
            f"leftover-{trace.id}",
            Level.WARNING,
            f"{trace.phrase}: {number:,}.",
            trace.remedy,
        )
        for trace in TRACES
        if trace.collection in names
        and (number := await count_by(database[trace.collection], trace.pipeline, comment=_COMMENT))
    ]
    lost = {
        spec.name: number
        for spec in registry.scoped
        if spec.name in names
        and (number := await _in_lost_workspaces(database, spec.name, registry.workspace_field))
    }
    if lost:
        listed = ", ".join(f"{name} {number:,}" for name, number in lost.items())
        checks.append(
            Check(
                "leftover-lost-workspaces",
                Level.WARNING,
                "Documents in workspaces that do not exist, as after a rollback that stopped "
                f"half-way: {sum(lost.values()):,} ({listed}).",
                "A run gives them the workspace of their owner, and records what they named.",
            )
        )
    return checks or [Check("leftovers", Level.OK, "There is no trace of an earlier attempt.")]


async def _in_lost_workspaces(database: Database, collection: str, field: str) -> int:
    """Documents whose workspace is no organization, whichever way its id is written."""
    pipeline: list[Mapping[str, Any]] = [
        # Grouped before anything is looked up: there are few workspaces and many documents.
        {"$group": {"_id": f"${field}", "n": {"$sum": 1}}},
        {"$match": {"_id": {"$nin": [None, ""]}}},
        {"$set": {"id": {"$convert": {"input": "$_id", "to": "objectId", "onError": "$_id"}}}},
        {
            "$lookup": {
                "from": "organization",
                "localField": "id",
                "foreignField": "_id",
                "as": "found",
                "pipeline": [{"$project": {"_id": 1}}],
            }
        },
        {"$match": {"found": []}},
        {"$group": {"_id": None, "n": {"$sum": "$n"}}},
    ]
    return await count_by(database[collection], pipeline, comment=_COMMENT)
