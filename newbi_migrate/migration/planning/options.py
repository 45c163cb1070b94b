"""What a person can choose about a run.

Everything here is stored with the run, so nothing here may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from newbi_migrate.choices import AliasOwners, AliasPolicy, DuplicatePolicy
from newbi_migrate.errors import UsageError, refuse_no_whole_number

__all__ = ["MAX_BATCH_SIZE", "MigrationOptions", "choose"]

MAX_BATCH_SIZE: Final = 200_000
"""Documents in a window, all of whose ids the client holds at once."""


def choose(options: Any, **kinds: type[StrEnum]) -> None:
    """Put choices in the place of the texts that name them, which would be none of them.

    Args:
        options: A frozen dataclass that is being made.
        kinds: Names of its fields, and what there is to choose.

    Raises:
        UsageError: A text names none.
    """
    for name, kind in kinds.items():
        value = getattr(options, name)
        try:
            object.__setattr__(options, name, kind(value))
        except ValueError:
            raise UsageError(
                f"{value!r} is no choice of {name}.", next_step=f"Choose of {', '.join(kind)}."
            ) from None


@dataclass(frozen=True, slots=True)
class MigrationOptions:
    """The choices of a run.

    Attributes:
        legacy_collection: Where the legacy users are; ``None`` to find out.
        duplicate_emails: Policy for addresses that differ by case or blanks alone.
        aliases: Policy for addresses that an existing user has.
        alias_owners: Whether owner fields of aliased users are rewritten.
        collections: Only these collections are stamped; ``None`` for all of the registry.
        schema_day: Stamp the collections the application had scoped by that day; ``None`` for
            all.
        batch_size: Documents in a window, which is read at once and has one journal entry, or
            several where they hold too much for one.
        workers: Statements under way at once.

    Raises:
        UsageError: A number is out of its range or has a fraction, or there is no such choice.
    """

    legacy_collection: str | None = None
    duplicate_emails: DuplicatePolicy = DuplicatePolicy.QUARANTINE
    aliases: AliasPolicy = AliasPolicy.VERIFIED
    alias_owners: AliasOwners = AliasOwners.REWRITE
    collections: tuple[str, ...] | None = None
    schema_day: date | None = None
    batch_size: int = 50_000
    workers: int = 2

    def __post_init__(self) -> None:
        choose(
            self,
            duplicate_emails=DuplicatePolicy,
            aliases=AliasPolicy,
            alias_owners=AliasOwners,
        )
        refuse_no_whole_number(batch_size=self.batch_size, workers=self.workers)
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise UsageError(
                f"A batch size of {self.batch_size} is out of range.",
                next_step=f"Choose 1 to {MAX_BATCH_SIZE}; 50000 suits most databases.",
            )
        if not 1 <= self.workers <= 64:
            raise UsageError(
                f"{self.workers} workers are out of range.",
                next_step="Choose 1 to 64; 2 suits most servers.",
            )

    def policy(self) -> dict[str, Any]:
        """The choices that decide what is written; the others only decide how fast."""
        return {
            "legacyCollection": self.legacy_collection,
            "duplicateEmails": self.duplicate_emails.value,
            "aliases": self.aliases.value,
            "aliasOwners": self.alias_owners.value,
            "collections": None if self.collections is None else sorted(self.collections),
            "schemaDay": None if self.schema_day is None else self.schema_day.isoformat(),
        }

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any], **size: int) -> MigrationOptions:
        """The options of a saved plan, or of a run.

        Args:
            policy: What it keeps of them.
            size: ``batch_size`` and ``workers``, where they are not the usual ones.

        Raises:
            UsageError: The policy holds something this version does not know.
        """
        try:
            named, day, collections = _names(policy)
            return cls(
                legacy_collection=named,
                duplicate_emails=DuplicatePolicy(policy["duplicateEmails"]),
                aliases=AliasPolicy(policy["aliases"]),
                alias_owners=AliasOwners(policy["aliasOwners"]),
                collections=None if collections is None else tuple(collections),
                schema_day=None if day is None else date.fromisoformat(day),
                **size,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"The plan's options cannot be read ({error}).",
                next_step="Make a new plan with this version: plan --output FILE.",
            ) from error


def _names(policy: Mapping[str, Any]) -> tuple[str | None, str | None, list[str] | None]:
    named, day, collections = (policy[n] for n in ("legacyCollection", "schemaDay", "collections"))
    texts = [one for one in (named, day) if one is not None]
    if not all(isinstance(one, str) for one in (*texts, *(collections or ()))):
        raise TypeError("a name is no text")
    return named, day, collections
