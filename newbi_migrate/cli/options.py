"""The options that commands share, each declared once.

Nothing of the engine is imported here, so that ``--help`` stays quick; a test holds the choices and
defaults that are repeated here against the engine's own.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AliasOwnerChoice",
    "AliasOwners",
    "Aliases",
    "AsJson",
    "AtOnce",
    "Backup",
    "BatchSize",
    "Collections",
    "Confirm",
    "DryRun",
    "Dump",
    "DuplicateEmails",
    "Identities",
    "LegacyCollection",
    "LogFile",
    "MaxLag",
    "MaxRate",
    "Output",
    "PauseFile",
    "PlanFile",
    "RecordDigests",
    "Reports",
    "SchemaDay",
    "ShowPersonalData",
    "SourceDatabase",
    "UriFile",
    "Verbose",
    "Workers",
]

_WHAT = "What is decided"
_HOW = "How fast"


class DuplicateChoice(StrEnum):
    """Choices of ``--duplicate-emails``."""

    REFUSE = "refuse"
    REACHABLE = "reachable"


class AliasChoice(StrEnum):
    """Choices of ``--aliases``."""

    VERIFIED = "verified"
    ALL = "all"
    REFUSE = "refuse"


class AliasOwnerChoice(StrEnum):
    """Choices of ``--alias-owners``."""

    REWRITE = "rewrite"
    KEEP = "keep"


AsJson = Annotated[
    bool, typer.Option("--json", help="Answer with one JSON document on standard output.")
]
UriFile = Annotated[
    Path | None,
    typer.Option(
        "--uri-file",
        metavar="FILE",
        help="File that holds the connection string and nothing else; otherwise MONGODB_URI from "
        "the environment or from .env is used.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", help="List every user's decision and every document that is left out."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done and write nothing.")
]
Confirm = Annotated[
    bool,
    typer.Option(
        "--confirm",
        help="Write without asking for the database's name to be typed; nothing is compared with "
        "an earlier --dry-run.",
    ),
]
Backup = Annotated[
    Path | None,
    typer.Option(
        "--backup",
        metavar="DIR",
        help="A backup of this database as it is now: it is verified and compared first, and "
        "proves afterwards that nothing else changed.",
    ),
]
RecordDigests = Annotated[
    bool,
    typer.Option(
        "--record-digests",
        help="Without a backup too, digest every collection first, for that proof; it reads the "
        "database once more.",
    ),
]
Identities = Annotated[
    list[Path] | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        help="File with a secret key that opens an encrypted backup; may be repeated.",
    ),
]
Dump = Annotated[
    Path,
    typer.Argument(
        metavar="BACKUP",
        help="Folder of a backup, or one that mongodump wrote.",
        show_default=False,
    ),
]
SourceDatabase = Annotated[
    str | None,
    typer.Option(
        "--source-database", metavar="NAME", help="Which one, where a dump holds several databases."
    ),
]
AtOnce = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=64, help="How much is under way at once."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Save the plan in this file, readable by its owner alone, for migrate --plan.",
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Do exactly what this plan says, with its choices, or exit with 3 because the "
        "database has moved on.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Documents read and journaled at once, 1 to 200000.",
        show_default="50000",
        rich_help_panel=_HOW,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Statements under way at once, 1 to 64.",
        show_default="2",
        rich_help_panel=_HOW,
    ),
]
MaxRate = Annotated[
    int | None,
    typer.Option(
        "--max-rate",
        metavar="N",
        help="Write at most so many documents a second, on average.",
        show_default="as fast as it goes",
        rich_help_panel=_HOW,
    ),
]
PauseFile = Annotated[
    Path | None,
    typer.Option(
        "--pause-file",
        metavar="PATH",
        help="Wait before the next write for as long as this file exists.",
        rich_help_panel=_HOW,
    ),
]
MaxLag = Annotated[
    float | None,
    typer.Option(
        "--max-lag",
        metavar="SECONDS",
        help="Wait for as long as a secondary of the replica set is further behind; takes the "
        "role clusterMonitor.",
        rich_help_panel=_HOW,
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="Keep what is said while it runs, with the time of each line; readable by its "
        "owner alone, and added to where it exists.",
    ),
]
Reports = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report, readable by its owner alone: .html to look at, .json, .ndjson, or "
        ".xml as JUnit writes it; may be repeated.",
    ),
]
ShowPersonalData = Annotated[
    bool,
    typer.Option(
        "--show-personal-data",
        help="Let reports show the users' e-mails in full, not as j***@e***.fr.",
    ),
]
LegacyCollection = Annotated[
    str | None,
    typer.Option(
        "--legacy-collection",
        metavar="NAME",
        help="Collection of the legacy users.",
        show_default="Users or users, whichever holds some",
        rich_help_panel=_WHAT,
    ),
]
DuplicateEmails = Annotated[
    DuplicateChoice | None,
    typer.Option(
        "--duplicate-emails",
        help="Legacy users whose e-mails differ by case or blanks alone: leave all of them out, "
        "or let the one keep it who could sign in.",
        show_default="refuse",
        rich_help_panel=_WHAT,
    ),
]
Aliases = Annotated[
    AliasChoice | None,
    typer.Option(
        "--aliases",
        help="A legacy user whose e-mail an existing user has becomes that user: if it is "
        "verified, always, or never.",
        show_default="verified",
        rich_help_panel=_WHAT,
    ),
]
AliasOwners = Annotated[
    AliasOwnerChoice | None,
    typer.Option(
        "--alias-owners",
        help="Fields of documents that name such a user: write the new id, or keep the old one.",
        show_default="rewrite",
        rich_help_panel=_WHAT,
    ),
]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collections",
        metavar="A,B",
        help="Stamp only these collections; may be repeated.",
        show_default="all that are described",
        rich_help_panel=_WHAT,
    ),
]
SchemaDay = Annotated[
    datetime | None,
    typer.Option(
        "--schema-day",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Stamp only the collections that the application had scoped by that day.",
        show_default="all",
        rich_help_panel=_WHAT,
    ),
]
