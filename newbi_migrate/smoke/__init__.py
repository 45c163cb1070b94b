"""Signing in to the real application, as the last proof of a migration."""

from newbi_migrate.smoke.story import STEPS, SmokeResult, smoke

__all__ = ["STEPS", "SmokeResult", "smoke"]
