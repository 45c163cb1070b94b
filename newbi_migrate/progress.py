"""How a use-case tells what it is doing, to whoever cares to listen.

A library user sees nothing unless he hands in a listener.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["NullProgress", "Progress"]


class Progress(Protocol):
    """Listener of a run."""

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins: ``users``, ``documents``, …; ``total`` is its size, if known."""
        ...

    def advance(self, amount: int, detail: str = "") -> None:
        """So many users, documents or indexes have been dealt with since the last call."""
        ...

    def note(self, sentence: str) -> None:
        """Something a person should read, now."""
        ...


class NullProgress:
    """The listener that is used where none is given."""

    def phase(self, name: str, total: int | None) -> None:
        """Says nothing."""

    def advance(self, amount: int, detail: str = "") -> None:
        """Says nothing."""

    def note(self, sentence: str) -> None:
        """Says nothing."""
