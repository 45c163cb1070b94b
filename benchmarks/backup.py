"""Backup, verification and restore of many documents, against raw reads and inserts, in one run.

    python benchmarks/backup.py --documents 1000000

Where mongodump and mongorestore are installed, they do the same on the same server in the same
run; elsewhere the ratios are to a raw read and to ``insert_many`` of raw batches. On a quiet
machine ``mongodump --gzip`` was measured at 10.8 raw reads, ``mongorestore --gzip`` with four
insertion workers at 4.0. The Extended JSON export of a critical collection is measured apart, on
request: mongodump has nothing like it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from bson.raw_bson import RawBSONDocument
from bulk import bulk_invoices, bulk_owners
from pymongo import AsyncMongoClient, MongoClient

from newbi_migrate.backup.compare import compare_backup
from newbi_migrate.backup.compress import library
from newbi_migrate.backup.exporting import export_backup
from newbi_migrate.backup.verify import verify_backup
from newbi_migrate.backup.writer import backup_database
from newbi_migrate.migration.restore.run import restore_backup
from newbi_migrate.store.digest import digest_collection, spans
from newbi_migrate.store.reading import BATCH_DOCUMENTS
from newbi_migrate.testing import EmbeddedMongod

T = TypeVar("T")

_INT32 = struct.Struct("<i")
_NOISE = 230
"""Bytes of each document that do not compress."""


def invoices(documents: int) -> Iterator[list[RawBSONDocument]]:
    """Invoices of about one kilobyte that compress to a quarter, as those of an application do."""
    rng = Random(0)
    for batch in bulk_invoices(documents, bulk_owners(2000), size=1024 - _NOISE):
        yield [with_noise(bytes(document.raw), rng) for document in batch]


def with_noise(raw: bytes, rng: Random) -> RawBSONDocument:
    """A document with a field that does not compress."""
    field = b"\x05noise\0" + _INT32.pack(_NOISE) + b"\0" + rng.randbytes(_NOISE)
    body = raw[4:-1] + field + b"\0"
    return RawBSONDocument(_INT32.pack(len(body) + 4) + body)


async def raw_read(collection: Any) -> None:
    """Every byte of a collection, to nowhere: the floor of a backup."""
    cursor = collection.find_raw_batches({}, batch_size=BATCH_DOCUMENTS)
    async with cursor:
        async for _ in cursor:
            pass


async def raw_insert(source: Any, target: Any) -> float:
    """``insert_many`` of the same documents, one batch after the other; reading is not counted."""
    taken = 0.0
    cursor = source.find_raw_batches({}, batch_size=BATCH_DOCUMENTS)
    async with cursor:
        async for batch in cursor:
            documents = [RawBSONDocument(batch[start:end]) for start, end in spans(batch)]
            begun = time.perf_counter()
            await target.insert_many(documents, ordered=False)
            taken += time.perf_counter() - begun
    return taken


def program(*arguments: str) -> None:
    """Runs one of MongoDB's tools."""
    subprocess.run([*arguments, "--quiet"], check=True)


def megabytes() -> float:
    """The greatest memory this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


class Figures:
    """Times by name, and how they are shown."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}
        self._busy: dict[str, list[float]] = {}

    def add(self, name: str, taken: float) -> None:
        """Takes in one time."""
        self._times.setdefault(name, []).append(taken)

    async def time(self, name: str, work: Awaitable[T]) -> T:
        """Awaits some work and takes in its time, and the time it kept this process busy."""
        begun, busy = time.perf_counter(), time.process_time()
        result = await work
        self.add(name, time.perf_counter() - begun)
        self._busy.setdefault(name, []).append(time.process_time() - busy)
        return result

    def show(self, name: str, *against: str) -> None:
        """Prints a median and its ratios."""
        if name not in self._times:
            return
        median = statistics.median(self._times[name])
        ratios = [
            f"{median / statistics.median(self._times[other]):.2f} x {other}"
            for other in against
            if other in self._times
        ]
        busy = ""
        if name in self._busy:
            # On a busy machine this tells more than the clock does.
            busy = f"{statistics.median(self._busy[name]):.2f} s"
        print(f"{name:<32} {median:8.2f} s {busy:>10}   {', '.join(ratios)}", flush=True)


async def measure(
    server: EmbeddedMongod, documents: int, repeats: int, folder: Path, *, exports: bool
) -> None:
    """Fills a database and prints the figures."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        for batch in invoices(documents):
            client["bench"]["documents"].insert_many(batch, ordered=False)
    figures = Figures()
    tools = bool(shutil.which("mongodump") and shutil.which("mongorestore"))
    before = megabytes()
    async with AsyncMongoClient[dict[str, Any]](server.uri) as connection:
        database = connection["bench"]
        for number in range(repeats):
            await figures.time("raw read", raw_read(database["documents"]))
            output = folder / f"ours{number}"
            path = (await figures.time("backup", backup_database(database, output))).path
            await figures.time("verify", verify_backup(path))
            await figures.time("compare", compare_backup(path, database))
            await figures.time("digest of the collection", digest_collection(database, "documents"))
            target = connection["bench_restored"]
            await figures.time("restore, verified first", restore_backup(path, target))
            await connection.drop_database("bench_restored")
            peak = megabytes()
            raw = connection["bench_raw"]["documents"]
            figures.add("insert_many", await raw_insert(database["documents"], raw))
            await connection.drop_database("bench_raw")
            if tools:
                await measure_tools(server, figures, connection, folder / f"theirs{number}")
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            shutil.rmtree(output)
        if exports:
            await database["documents"].rename("invoices")
            made = await backup_database(database, folder / "exported")
            await figures.time("JSON export", export_backup(made.path))
    print(f"{documents:,} documents, {library()}, {size / 1e6:,.0f} MB of files")
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':<32} {'time':>10} {'busy here':>10}   against")
    figures.show("raw read")
    figures.show("mongodump --gzip", "raw read")
    figures.show("backup", "raw read", "mongodump --gzip")
    figures.show("JSON export", "raw read", "mongodump --gzip")
    figures.show("verify", "raw read")
    figures.show("compare", "raw read")
    figures.show("digest of the collection", "raw read")
    figures.show("insert_many")
    figures.show("mongorestore --gzip, 4 workers", "insert_many")
    figures.show(
        "restore, verified first", "insert_many", "raw read", "mongorestore --gzip, 4 workers"
    )
    print(f"memory of this process: {peak:.0f} MB at most, {before:.0f} MB before")


async def measure_tools(
    server: EmbeddedMongod, figures: Figures, connection: Any, folder: Path
) -> None:
    """The same by mongodump and mongorestore."""
    begun = time.perf_counter()
    port = f"--port={server.port}"
    await asyncio.to_thread(program, "mongodump", "--gzip", port, "--db=bench", f"--out={folder}")
    figures.add("mongodump --gzip", time.perf_counter() - begun)
    renamed = ["--nsInclude=bench.*", "--nsFrom=bench.*", "--nsTo=bench_theirs.*"]
    begun = time.perf_counter()
    await asyncio.to_thread(
        program,
        "mongorestore",
        "--gzip",
        port,
        "--numInsertionWorkersPerCollection=4",
        *renamed,
        str(folder),
    )
    figures.add("mongorestore --gzip, 4 workers", time.perf_counter() - begun)
    await connection.drop_database("bench_theirs")
    shutil.rmtree(folder)


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--exports", action="store_true", help="measure the JSON export too")
    given = parser.parse_args()
    with EmbeddedMongod() as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(
            measure(server, given.documents, given.repeats, Path(folder), exports=given.exports)
        )


if __name__ == "__main__":
    main()
