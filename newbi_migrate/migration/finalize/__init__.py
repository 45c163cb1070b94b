"""What ends a migration: obsolete indexes go, and at last the collection of legacy users."""
