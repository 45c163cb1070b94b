"""What each command ends with and how it is called: for ``--help`` and for the reference.

Codes that any command may end with are repeated only where there is more to say of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from newbi_migrate.errors import ExitCode

__all__ = ["ANY_COMMAND", "ENVIRONMENT", "MANUAL", "Entry", "codes", "epilog"]

ANY_COMMAND: Final = (
    ExitCode.UNEXPECTED,
    ExitCode.USAGE,
    ExitCode.INTERRUPTED,
    ExitCode.UNREACHABLE,
    ExitCode.LOCAL_FILE,
)
"""What every command may end with."""

_UNDER_WAY: Final = "another run is under way"
_RESUMED: Final = "it was interrupted; the same command again finishes it"
_QUARANTINED: Final = "something is quarantined, or an index could not be built"
_DAMAGED: Final = "the backup is damaged"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of a command beside its sentence and its options.

    Attributes:
        endings: Exit code to when it is given.
        examples: Command lines, each with what it is for.
    """

    endings: Mapping[ExitCode, str]
    examples: Mapping[str, str]


MANUAL: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "demo": Entry(
            {
                ExitCode.DONE: "all went as it should; that made-up documents are quarantined is "
                "part of the show"
            },
            {
                "newbi-migrate demo": "A legacy database, its migration, and the way back.",
                "newbi-migrate demo --users 500 --documents 100000 --keep": "A larger one, with "
                "the server left running to look around.",
            },
        ),
        "doctor": Entry(
            {
                ExitCode.DONE: "no check failed; warnings are notes",
                ExitCode.PENDING: "a check failed",
            },
            {
                "newbi-migrate doctor --backup backups/backup_…": "Before a migration.",
                "newbi-migrate doctor --before finalize": "Before the end of one.",
            },
        ),
        "backup": Entry(
            {
                ExitCode.DONE: "the backup is complete",
                ExitCode.PENDING: "it is complete, and none to go back to: somebody wrote to the "
                "standalone server meanwhile, so that its collections may not fit together; or "
                "the database was half migrated or half rolled back",
                ExitCode.INTERRUPTED: "it was interrupted, and nothing that looks like a backup is "
                "left; or its exports were, and it is whole without them",
            },
            {
                "newbi-migrate backup --output-dir /path/to/backups": "Into a new folder in it.",
                "newbi-migrate backup --recipient age1…": "The same, encrypted.",
                "newbi-migrate backup --exports-only backups/backup_…": "Write what is missing of "
                "its exports.",
            },
        ),
        "verify-backup": Entry(
            {
                ExitCode.DONE: "it is whole, and the database, if compared, equals it",
                ExitCode.PENDING: "the database differs from it",
                ExitCode.LOCAL_FILE: _DAMAGED,
                ExitCode.INTERRUPTED: "it was interrupted",
            },
            {
                "newbi-migrate verify-backup backups/backup_…": "Check that it is whole.",
                "newbi-migrate verify-backup --compare backups/backup_…": "Check that the "
                "database equals it.",
                "newbi-migrate verify-backup --compare --ignore-field workspaceId DIR": "Compare, "
                "ignoring workspaceId.",
            },
        ),
        "restore": Entry(
            {
                ExitCode.DONE: "all of it is there",
                ExitCode.PENDING: "the database changed between what was shown and the "
                "confirmation, and nothing was touched; or somebody else wrote to the target; or "
                "all is there except indexes that the server would not build",
                ExitCode.LOCAL_FILE: f"{_DAMAGED}, and nothing was touched; or it changed, or "
                "holds what no server takes: the message says what became of the collection",
                ExitCode.LEASE_HELD: "a run or another restore is under way in that database",
                ExitCode.INTERRUPTED: "it was interrupted, or lost its lease; the same command "
                "goes on where it stopped",
            },
            {
                "newbi-migrate restore --drop --dry-run backups/backup_…": "Show what it would do.",
                "newbi-migrate restore --database copy backups/backup_…": "Into another database.",
                "newbi-migrate restore --drop backups/backup_…": "Replace what is there.",
                "newbi-migrate restore --collections invoices --drop backups/backup_…": "One "
                "collection in its own place; rollback takes that back.",
            },
        ),
        "drop-aside": Entry(
            {
                ExitCode.DONE: "nothing is put aside any more",
                ExitCode.PENDING: "the database changed between what was shown and the "
                "confirmation, and nothing was dropped",
                ExitCode.LEASE_HELD: _UNDER_WAY,
                ExitCode.INTERRUPTED: _RESUMED,
            },
            {
                "newbi-migrate drop-aside --dry-run": "Show what would be dropped.",
                "newbi-migrate drop-aside": "Drop it, once what was restored is to stay.",
            },
        ),
        "rehearse": Entry(
            {
                ExitCode.DONE: "go: every step went well, and the way back gave every byte",
                ExitCode.QUARANTINED: "go, once a person has decided about what is quarantined or "
                "which index cannot be built",
                ExitCode.PENDING: "no-go: a step failed; each step stands in the answer with the "
                "code of its own command",
                ExitCode.LOCAL_FILE: "there is no room for the rehearsal, or a file cannot be read "
                "or written; the answer is neither go nor no-go",
            },
            {
                "newbi-migrate rehearse backups/backup_… --output rehearsed.json --report "
                "rehearsal.html": "Everything, on a server of its own.",
                "newbi-migrate rehearse dump/newbi --scratch-uri-file scratch.uri": "A folder of "
                "mongodump, on a server that may be lost.",
            },
        ),
        "plan": Entry(
            {
                ExitCode.DONE: "the migration would end with 0",
                ExitCode.PENDING: "the database is not as the backup says, a decision is not as in "
                "the rehearsal, or a user was deleted while the plan was made",
                ExitCode.LOCAL_FILE: _DAMAGED,
                ExitCode.QUARANTINED: "something would be quarantined, or an index cannot be built",
            },
            {
                "newbi-migrate plan --output plan.json --backup backups/backup_…": "A plan to "
                "review, and to carry out with migrate --plan.",
                "newbi-migrate plan --verbose --report plan.html": "Every decision, and a page to "
                "look at.",
            },
        ),
        "migrate": Entry(
            {
                ExitCode.DONE: "all is done, or was done already",
                ExitCode.PENDING: "the database is no longer what the plan, the backup or the "
                "rehearsal was made for, and nothing was written; or documents kept coming in "
                "and are still pending; or a user was deleted while the run went on",
                ExitCode.LOCAL_FILE: f"{_DAMAGED}; nothing was written",
                ExitCode.QUARANTINED: f"{_QUARANTINED}; running it again also exits 5 "
                "until that is resolved",
                ExitCode.LEASE_HELD: _UNDER_WAY,
                ExitCode.INTERRUPTED: _RESUMED,
            },
            {
                "newbi-migrate migrate --dry-run": "The same as plan.",
                "newbi-migrate migrate --plan plan.json --backup backups/backup_…": "Do what was "
                "reviewed, with a verified backup.",
                "newbi-migrate migrate --confirm --log-file migration.log": "Do not ask.",
            },
        ),
        "backfill": Entry(
            {
                ExitCode.DONE: "all is done, or was done already",
                ExitCode.PENDING: "the database is no longer what the backup was made of, and "
                "nothing was written; or documents kept coming in and are still pending",
                ExitCode.LOCAL_FILE: f"{_DAMAGED}; nothing was written",
                ExitCode.QUARANTINED: _QUARANTINED,
                ExitCode.LEASE_HELD: _UNDER_WAY,
                ExitCode.INTERRUPTED: _RESUMED,
            },
            {
                "newbi-migrate backfill --dry-run": "Show what would be stamped.",
                "newbi-migrate backfill --collections invoices,quotes": "Stamp only these.",
            },
        ),
        "checklist": Entry(
            {
                ExitCode.DONE: "no line is open or failed; what is asked of you is neither",
                ExitCode.PENDING: "a line is open or failed",
            },
            {
                "newbi-migrate checklist --backup backups/backup_…": "Before the night.",
                "newbi-migrate checklist --lang fr": "In French.",
            },
        ),
        "status": Entry(
            {
                ExitCode.DONE: "no run is unfinished, and the run records are whole",
                ExitCode.PENDING: "a run has not come to its end, or run records are damaged",
            },
            {"newbi-migrate status --watch 5": "Show it every five seconds, while a run goes on."},
        ),
        "validate": Entry(
            {
                ExitCode.DONE: "the migration broke nothing that --fail-on asks for; what was "
                "there before, and what is quarantined as the run recorded, is listed",
                ExitCode.PENDING: "users or documents are not migrated yet, or the proof that "
                "--unchanged asks for was impossible; else as 0",
                ExitCode.VALIDATION_FAILED: "the migration broke a critical rule, or there is "
                "something else that --fail-on asks for",
            },
            {
                "newbi-migrate validate --detailed": "List every violation.",
                "newbi-migrate validate --unchanged": "Prove that nothing else changed.",
                "newbi-migrate validate --only 'document.*' --fail-on any": "Check some rules, "
                "whoever broke them.",
            },
        ),
        "smoke": Entry(
            {
                ExitCode.DONE: "every step passed; warnings are allowed",
                ExitCode.VALIDATION_FAILED: "a step failed; those after it were skipped",
                ExitCode.UNREACHABLE: "the application does not answer",
            },
            {
                "newbi-migrate smoke --url https://app.example.com --email test@example.com": "It "
                "asks for the password.",
            },
        ),
        "rollback": Entry(
            {
                ExitCode.DONE: "everything the run wrote is taken back, but for what keep keeps; a "
                "change that keep keeps or discard overwrites is listed",
                ExitCode.PENDING: "the database changed between what was shown and the "
                "confirmation, and nothing was written; or it is rolled back except for what is "
                "in use by now (0 with keep or discard), what somebody changed while it wrote, or "
                "what discard cannot discard",
                ExitCode.LEASE_HELD: _UNDER_WAY,
                ExitCode.INTERRUPTED: _RESUMED,
                ExitCode.ROLLBACK_CONFLICTS: "somebody changed what the run wrote, and you have "
                "not said what to do about it",
            },
            {
                "newbi-migrate rollback --dry-run": "Show what it would do, and the conflicts.",
                "newbi-migrate rollback": "Take back the last run, and no other.",
                "newbi-migrate rollback --all --on-conflict keep": "Take back all runs, and keep "
                "what people changed.",
            },
        ),
        "unlock": Entry(
            {
                ExitCode.DONE: "nobody holds the lease any more",
                ExitCode.PENDING: "the lease is not one that this tool wrote",
                ExitCode.LEASE_HELD: "another run took the lease since it was shown",
            },
            {"newbi-migrate unlock": "It shows whose lease it is, and asks."},
        ),
        "indexes": Entry(
            {
                ExitCode.DONE: "no index of the old structure is left; or, without --apply, each "
                "that is left can be swapped",
                ExitCode.PENDING: "an index cannot be built, or one of the old structure has to "
                "stay; or the database changed between what was shown and the confirmation, and "
                "nothing was written",
                ExitCode.LEASE_HELD: _UNDER_WAY,
                ExitCode.INTERRUPTED: _RESUMED,
            },
            {
                "newbi-migrate indexes": "Show what is left.",
                "newbi-migrate indexes --apply": "Swap the old for the new.",
            },
        ),
        "finalize": Entry(
            {
                ExitCode.DONE: "the old structure is gone, or would be",
                ExitCode.PENDING: "the database changed between what was shown and the "
                "confirmation, and nothing was written; or a legacy user came while it wrote, and "
                "none was dropped; or all is done, and an index cannot be built or has to stay",
                ExitCode.VALIDATION_FAILED: "the migration broke a critical rule; nothing was "
                "written",
                ExitCode.LEASE_HELD: _UNDER_WAY,
                ExitCode.INTERRUPTED: _RESUMED,
            },
            {
                "newbi-migrate finalize --keep --dry-run": "Show what it would do.",
                "newbi-migrate finalize --keep": "Rename the collection of legacy users, and "
                "swap the indexes.",
            },
        ),
        "schema": Entry(
            {ExitCode.DONE: "the validators were printed"},
            {"newbi-migrate schema --collection member": "Print that of one collection."},
        ),
    }
)
"""Every command."""

ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MONGODB_URI": "the connection string, where no --uri-file names one; it wins over .env",
        "FRONTEND_URL": "address of the application for smoke, where no --url gives it; it wins "
        "over .env",
        "NEWBI_SMOKE_EMAIL": "e-mail of the user whom smoke signs in, where no --email names one",
        "NEWBI_SMOKE_PASSWORD": "their password, where no --password-file holds it",
        "NEWBI_MONGOD": "the mongod that demo and rehearse start, before any other",
        "NO_COLOR": "if set, output is plain",
        "NEWBI_MIGRATE_TRACEBACK": "if set, an error shows where in the code it happened",
    }
)
"""Variables that commands read."""


def codes(command: str) -> frozenset[ExitCode]:
    """Everything a command may end with."""
    return frozenset({*MANUAL[command].endings, *ANY_COMMAND})


def epilog(command: str) -> str:
    """What stands below a command's options at the terminal."""
    entry = MANUAL[command]
    endings = " · ".join(f"{int(code)} {when}" for code, when in sorted(entry.endings.items()))
    lines = [f"{line}  # {purpose}" for line, purpose in entry.examples.items()]
    # Typer makes one line of a paragraph, so each line that is to stand alone is one.
    return "\n\n".join([f"Exit codes: {endings}.", *lines])
