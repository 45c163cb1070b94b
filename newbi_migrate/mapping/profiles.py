"""Versions of Better Auth a migration can write for.

The target version is an explicit choice, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from newbi_migrate.errors import UsageError

__all__ = ["BetterAuthProfile", "BetterAuthVersion"]


class BetterAuthVersion(StrEnum):
    """The versions that can be asked for by name."""

    V1_3 = "1.3"
    V1_7 = "1.7"


@dataclass(frozen=True, slots=True)
class BetterAuthProfile:
    """What differs between the versions of Better Auth.

    Attributes:
        version: The lowest version the profile is for.
        credential_fields: Fields a credential account has beside those of every version.
    """

    version: BetterAuthVersion
    credential_fields: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, version: str) -> BetterAuthProfile:
        """The profile of a version.

        Raises:
            UsageError: There is none for that version.
        """
        try:
            known = BetterAuthVersion(version)
        except ValueError:
            raise UsageError(
                f"There is no profile for Better Auth {version!r}.",
                next_step="Choose 1.7 for 1.7.0 to 1.7.2, and 1.3 for every other.",
            ) from None
        return _PROFILES[known]


# Releases 1.7.0 to 1.7.2 look accounts up by their issuer; 1.7.3 gave that up again and takes
# accounts with or without it. Tried with the packages of 1.3.7, 1.7.2 and 1.7.25.
_PROFILES = {
    BetterAuthVersion.V1_3: BetterAuthProfile(BetterAuthVersion.V1_3),
    BetterAuthVersion.V1_7: BetterAuthProfile(
        BetterAuthVersion.V1_7, credential_fields=(("issuer", "local:credential"),)
    ),
}
