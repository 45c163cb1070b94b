"""What people choose between: the engine's policies, which options of the command line name.

Nothing is imported here, so that ``--help`` stays quick.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["AliasOwners", "AliasPolicy", "DuplicatePolicy", "Language", "OnConflict", "Purpose"]


class DuplicatePolicy(StrEnum):
    """What happens to legacy users whose addresses differ by case or blanks alone."""

    QUARANTINE = "quarantine"
    """All of them are quarantined."""
    KEEP_NORMALIZED = "keep-normalized"
    """The one who could sign in, because their address is stored as it is looked up, keeps it."""


class AliasPolicy(StrEnum):
    """Whether a legacy user may become an existing user with the same e-mail address."""

    VERIFIED = "verified"
    """Only where that user has proven that the address is theirs."""
    ALL = "all"
    REFUSE = "refuse"


class AliasOwners(StrEnum):
    """What happens to fields that name a legacy user who became another user."""

    REWRITE = "rewrite"
    KEEP = "keep"


class OnConflict(StrEnum):
    """What happens where somebody changed what the run wrote."""

    STOP = "stop"
    KEEP = "keep"
    DISCARD = "discard"


class Purpose(StrEnum):
    """A command, or a family of commands, that is to be run next."""

    PLAN = "plan"
    BACKUP = "backup"
    MIGRATE = "migrate"
    VALIDATE = "validate"
    ROLLBACK = "rollback"
    FINALIZE = "finalize"


class Language(StrEnum):
    """Languages of the checklist."""

    ENGLISH = "en"
    FRENCH = "fr"
