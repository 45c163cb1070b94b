"""Signing in to the real application, as the last proof of a migration.

It changes when what a host needs of it does.
"""

from newbi_migrate.smoke.story import STEPS, SmokeResult, smoke

__all__ = ["STEPS", "SmokeResult", "smoke"]
