"""What must hold: rules as values, declared beside the documents they are about."""

from newbi_migrate.invariants.base import Invariant, Severity, Violation

__all__ = ["Invariant", "Severity", "Violation"]
