"""Proofs that take long: shares of them side by side, and what came of all noted and printed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from controlled_mongod import ControlledMongod
from survived import record


def on_a_server(seeds, attempt):
    """Tries each seed in a database of its own, on one server; what was wrong, in lines."""
    wrong = []
    with ControlledMongod() as server:

        async def every():
            for seed in seeds:
                try:
                    wrong.extend(await attempt(server.uri_for(f"tried_{seed}"), seed))
                except Exception as error:  # noqa: BLE001  # told of, and the others go on
                    wrong.append(f"seed {seed}: {error!r}")

        asyncio.run(every())
    return wrong


def prove(name, kind, count, seeds, share, said):
    """Tries all seeds side by side; whether anything was wrong.

    Args:
        name: Of the record.
        kind: What was tried, as the page says it.
        count: How many.
        seeds: What is shared out.
        share: Tries some of them, in a process of its own; gives lines of what was wrong.
        said: Things and what is wrong with them, as in ``("cycles", "wrong")``.
    """
    began = time.monotonic()
    parts = min(len(seeds), os.cpu_count() or 1)
    with ProcessPoolExecutor(parts) as pool:
        shares = [seeds[part::parts] for part in range(parts)]
        wrong = [line for lines in pool.map(share, shares) for line in lines]
    took = time.monotonic() - began
    record(name, counts={} if wrong else {kind: count}, failed=wrong[:20], seconds=took)
    things, fault = said
    last = f"{count:,} {things}, {len(wrong)} {fault}, {took:.0f} s\n"
    sys.stdout.write("\n".join([*wrong[:20], last]))
    return bool(wrong)
