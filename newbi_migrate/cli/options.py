"""The options that commands share, each declared once, and the groups they come in.

Nothing of the engine is imported here, so that ``--help`` stays quick; a test holds the defaults
that are repeated here against the engine's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from newbi_migrate import choices
from newbi_migrate.choices import AliasPolicy, DuplicatePolicy
from newbi_migrate.cli.running import Session

__all__ = [
    "AliasOwners",
    "Aliases",
    "AsJson",
    "AsOf",
    "AtOnce",
    "Backing",
    "Backup",
    "BatchSize",
    "Call",
    "Choices",
    "Collections",
    "Confirm",
    "DryRun",
    "Dump",
    "DuplicateEmails",
    "Identities",
    "LegacyCollection",
    "LogFile",
    "LoggedCall",
    "MaxLag",
    "MaxRate",
    "Output",
    "PauseFile",
    "PlanFile",
    "RecordDigests",
    "Rehearsed",
    "Reports",
    "Run",
    "Scope",
    "ShowPersonalData",
    "Size",
    "SourceDatabase",
    "Throttling",
    "UriFile",
    "Verbose",
    "Workers",
    "flat",
]

_WHAT = "What is decided"
_HOW = "How fast"


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
    typer.Option("--verbose", help="List everything, not only what fits on a screen."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done and write nothing.")
]
Confirm = Annotated[
    bool,
    typer.Option(
        "--confirm",
        help="Write without asking for the database's name to be typed, and without comparing "
        "with what was shown before.",
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
        help="Without a backup, record a digest of every collection first, so that validate "
        "--unchanged works; it reads the database once more.",
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
        "--source-database", metavar="NAME", help="Database to take, where a dump holds several."
    ),
]
AtOnce = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=64, help="Concurrent workers."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Save the plan in this file for migrate --plan; only its owner can read it.",
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Do exactly what this plan says, with its choices, or exit with 3 if the database has "
        "moved on.",
    ),
]
Rehearsed = Annotated[
    Path | None,
    typer.Option(
        "--rehearsed",
        metavar="FILE",
        help="Compare with the decisions that rehearse --output saved: say what has come since, "
        "and exit with 3 where it decides otherwise about anybody who was rehearsed.",
    ),
]
Watch = Annotated[
    float,
    typer.Option(
        "--watch",
        metavar="SECONDS",
        min=0,
        help="Seconds to watch for other clients' writes, an hour at most.",
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
        help="Concurrent workers, 1 to 64.",
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
        help="While this file exists, wait before the next write.",
        rich_help_panel=_HOW,
    ),
]
MaxLag = Annotated[
    float | None,
    typer.Option(
        "--max-lag",
        metavar="SECONDS",
        help="Wait while a secondary of the replica set is further behind; needs the role "
        "clusterMonitor.",
        rich_help_panel=_HOW,
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="Keep messages and progress in this file, with the time of each line; only its owner "
        "can read it. If it exists, lines are added.",
    ),
]
Reports = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report that only its owner can read: .html to look at, .xml in JUnit's "
        "format, .ndjson or .json; may be repeated.",
    ),
]
ShowPersonalData = Annotated[
    bool,
    typer.Option(
        "--show-personal-data",
        help="Show the users' e-mails in reports in full, not as j***@e***.fr.",
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
    DuplicatePolicy | None,
    typer.Option(
        "--duplicate-emails",
        help="Legacy users whose e-mails differ only by case or blanks: quarantine all of "
        "them, or all but the one whose stored e-mail is already normalized.",
        show_default="quarantine",
        rich_help_panel=_WHAT,
    ),
]
Aliases = Annotated[
    AliasPolicy | None,
    typer.Option(
        "--aliases",
        help="Link a legacy user to the existing user with the same e-mail: only if verified, "
        "always, or never.",
        show_default="verified",
        rich_help_panel=_WHAT,
    ),
]
AliasOwners = Annotated[
    choices.AliasOwners | None,
    typer.Option(
        "--alias-owners",
        help="In documents that name a linked user: write the new id, or keep the old one.",
        show_default="rewrite",
        rich_help_panel=_WHAT,
    ),
]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collections",
        metavar="A,B",
        help="Only the documents of these collections; may be repeated.",
        show_default="all that are described",
        rich_help_panel=_WHAT,
    ),
]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Only the collections in which the application wrote workspaces by that day.",
        show_default="all",
        rich_help_panel=_WHAT,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How a command answers."""

    as_json: AsJson = False

    @contextmanager
    def session(self, command: str, uri_file: Path | None = None) -> Iterator[Session]:
        """A session of the command, in which every error has its sentence and exit code.

        Args:
            command: Its name.
            uri_file: File that holds the connection string, if one was named.
        """
        session = Session(command, as_json=self.as_json, uri_file=uri_file)
        with session.explained():
            yield session


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Answering):
    """Where a command finds its database, and how it answers."""

    uri_file: UriFile = None

    @contextmanager
    def session(self, command: str, uri_file: Path | None = None) -> Iterator[Session]:
        """A session of the command with the database that was named."""
        with Answering.session(self, command, uri_file or self.uri_file) as session:
            yield session


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCall(Call):
    """The same of a command that can keep a log."""

    log_file: LogFile = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which documents a command is about."""

    legacy_collection: LegacyCollection = None
    collections: Collections = None
    as_of: AsOf = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices(Scope):
    """What is decided where users and documents are migrated."""

    duplicate_emails: DuplicateEmails = None
    aliases: Aliases = None
    alias_owners: AliasOwners = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is under way at once."""

    batch_size: BatchSize = None
    workers: Workers = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """The backup that is relied on."""

    backup: Backup = None
    identity: Identities = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttling:
    """What holds a run back."""

    max_rate: MaxRate = None
    pause_file: PauseFile = None
    max_lag: MaxLag = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run is asked for with."""

    dry_run: DryRun = False
    confirm: Confirm = False
    verbose: Verbose = False
    call: LoggedCall
    choices: Choices
    size: Size
    backing: Backing
    record_digests: RecordDigests = False
    throttling: Throttling
    report: Reports = None


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of each of its parameters that is a group of them."""
    declared = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [option for each in declared for option in _options(each)]

    @wraps(command)
    def called(**given: Any) -> None:
        command(**{each.name: _taken(each, given) for each in declared})

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # for Typer
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _members(group: Any) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for each in fields(group):
        yield inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=hints[each.name],
        )


def _options(parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    if is_dataclass(parameter.annotation):
        for each in _members(parameter.annotation):
            yield from _options(each)
    else:
        yield parameter


def _taken(parameter: inspect.Parameter, given: Mapping[str, Any]) -> Any:
    """The value of a parameter, a group made of what was given for its options."""
    group = parameter.annotation
    if not is_dataclass(group):
        return given[parameter.name]
    return group(**{each.name: _taken(each, given) for each in _members(group)})  # type: ignore[operator]
