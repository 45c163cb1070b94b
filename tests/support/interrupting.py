"""Doing something, or stopping, as a phase of a run begins."""

from __future__ import annotations

import asyncio

import pytest

from newbi_migrate import Migration
from newbi_migrate.errors import NewbiMigrateError
from newbi_migrate.progress import NullProgress


class When(NullProgress):
    """Does something once, as a phase begins."""

    def __init__(self, wanted, act):
        self.wanted, self.act = wanted, act

    def phase(self, name, total):
        if name == self.wanted:
            self.wanted = None
            self.act()


def interrupt(uri, call, phase, **about):
    """Begin something and stop it."""

    async def main():
        stop = When(phase, None)
        async with Migration(uri, progress=stop, **about) as opened:
            stop.act = opened.stop
            with pytest.raises(NewbiMigrateError):
                await call(opened)

    asyncio.run(main())
