"""The command that finishes a run which was interrupted, with the choices it was begun with."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from newbi_migrate.choices import AliasOwners, AliasPolicy, DuplicatePolicy, OnConflict
from newbi_migrate.migration.run.accounted import last_migration
from newbi_migrate.store.replacements import RESTORE
from newbi_migrate.store.runs import RunRecord, RunState

__all__ = ["CHOICES", "chosen", "finishing", "late_work"]

CHOICES: Final[Mapping[str, tuple[str, Any]]] = {
    "legacyCollection": ("--legacy-collection", None),
    "duplicateEmails": ("--duplicate-emails", DuplicatePolicy.QUARANTINE),
    "aliases": ("--aliases", AliasPolicy.VERIFIED),
    "aliasOwners": ("--alias-owners", AliasOwners.REWRITE),
    "collections": ("--collections", None),
    "schemaDay": ("--as-of", None),
    "keep": ("--keep", False),
    "dropJournal": ("--drop-journal", False),
    "all": ("--all", False),
    "onConflict": ("--on-conflict", OnConflict.STOP),
    "convertLegacyIndexes": ("--convert-legacy-indexes", False),
}
"""What a run records of its choices: the option of each, and what it is where nobody gives it."""


def finishing(run: RunRecord, place: Sequence[str] = ()) -> str:
    """The command that finishes a run that was interrupted, as it can be copied.

    Only the backup that a restore reads has to be named: a run does not know where it is.

    Args:
        run: The run.
        place: The arguments that name the connection string.
    """
    if run.state is RunState.ROLLING_BACK:
        words = ["rollback", *chosen(run.rollback_policy)]
    elif run.command == "indexes":
        words = ["indexes", "--apply"]
    else:
        words = [run.command, *chosen(run.policy)]
    last = ["--drop", "BACKUP"] if words[0] == RESTORE else []
    return shlex.join(["newbi-migrate", *words, *last, *place])


def late_work(command: str, runs: Iterable[RunRecord], *options: str) -> str:
    """The command for what came late, with the choices of the last migration; can be copied.

    Args:
        command: ``migrate`` or ``backfill``.
        runs: All runs, the newest first.
        options: Further arguments.
    """
    last = last_migration(runs)
    policy = {} if last is None else dict(last.policy)
    # The end of a migration may have given their collection another name; it is found again.
    policy.pop("legacyCollection", None)
    # What it left out is late as well.
    policy.pop("collections", None)
    return shlex.join(["newbi-migrate", command, *chosen(policy), *options])


def chosen(policy: Mapping[str, Any]) -> list[str]:
    """The arguments that ask for the choices that a run recorded; what is usual is left out."""
    words: list[str] = []
    for name, (option, usual) in CHOICES.items():
        value = policy.get(name, usual)
        if value is True:
            words.append(option)
        elif value != usual:
            words += [option, ",".join(value) if isinstance(value, list | tuple) else str(value)]
    return words
