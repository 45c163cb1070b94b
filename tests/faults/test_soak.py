"""A restore whose server is killed and comes back, again and again, loses no document.

The thorough profile takes 250,000 documents and kills the server twelve times; with ``-s`` the
figures of docs/fault-tolerance.md are printed.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import bson
import pytest
from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from controlled_mongod import ControlledMongod
from pymongo import MongoClient
from sweeps import THOROUGH
from xxhash import xxh3_128_digest

DONE, INTERRUPTED, UNREACHABLE = 0, 7, 9
RAW = CodecOptions(document_class=RawBSONDocument)
LATER = datetime.now(UTC) + timedelta(days=30)
TTL = {"v": 2, "key": {"at": 1}, "name": "at_1", "expireAfterSeconds": 3600}
WAYS = {
    "without TTL": ([], {}, ()),
    "with a TTL index": ([TTL], {}, ()),
    "expiring by itself": (
        [],
        {
            "clusteredIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": True},
            "expireAfterSeconds": 3600,
        },
        (),
    ),
    "in place": ([TTL], {}, ("--collections", "invoices", "--drop")),
}


# How many documents, and how often the server is killed.
COUNT, KILLS = (250_000, 12) if THOROUGH else (20_000, 2)
# Each insertion waits in the server, or a restore is done before a busy machine comes to kill it.
SLOW_INSERTIONS = json_util.dumps(
    {
        "mode": "alwaysOn",
        "data": {"failCommands": ["insert"], "blockConnection": True, "blockTimeMS": 100},
    }
)


def document(number):
    """The bytes of one document, which no TTL index deletes before a month has passed."""
    at = LATER + timedelta(seconds=number)
    return bson.encode({"_id": at, "at": at, "number": number, "text": "é" * 300})


@pytest.fixture
def dump(tmp_path):
    """Writes the documents as mongodump does."""

    def write(indexes, options):
        folder = tmp_path / "dump" / "soak"
        folder.mkdir(parents=True)
        with (folder / "invoices.bson").open("wb") as file:
            file.writelines(map(document, range(COUNT)))
        by_id = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
        if "clusteredIndex" in options:
            by_id |= {"clustered": True, "unique": True}
        metadata = {"options": options, "indexes": [by_id, *indexes]}
        (folder / "invoices.metadata.json").write_text(json_util.dumps(metadata))
        return str(folder.parent)

    return write


def until_done(processes, uri, command):
    """Run the same command until it is done; how often that was."""
    for number in range(1, 100):
        ended = processes.run(uri, *command)
        if ended.status == DONE:
            return number
        assert ended.status in {INTERRUPTED, UNREACHABLE}, ended
    raise AssertionError("it is never done")


@pytest.mark.parametrize("way", WAYS)
def test_a_restore_whose_server_dies_again_and_again_loses_nothing(way, dump, processes, capsys):
    """Acknowledged or not, every byte is there once it says so, and the indexes and options are."""
    indexes, options, arguments = WAYS[way]
    command = ("restore", "--confirm", *arguments, dump(indexes, options))
    killed = forgotten = 0
    slowly = ("--setParameter", f"failpoint.failCommand={SLOW_INSERTIONS}")
    with (
        ControlledMongod(test_commands=True, extra_args=slowly) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        uri = server.uri_for("soak") + "?serverSelectionTimeoutMS=5000"
        begun = time.monotonic()
        with MongoClient(server.uri) as client:
            database = client["soak"]
            if "--drop" in arguments:
                database["invoices"].insert_one({"_id": "before"})
            running = threads.submit(until_done, processes, uri, command)
            for number in range(1, KILLS + 1):
                least = COUNT * number // (KILLS + 1)
                while (there := largest(database)) < least and not running.done():
                    time.sleep(0.05)
                if running.done():
                    break
                server.kill()
                server.restart()
                killed += 1
                forgotten += max(0, there - largest(database))
            calls = running.result()
            took = time.monotonic() - begun
            found = {
                xxh3_128_digest(raw.raw)
                for raw in database["invoices"].with_options(codec_options=RAW).find()
            }
            (info,) = database.list_collections(filter={"name": "invoices"})
            built = {index["name"]: dict(index) for index in database["invoices"].list_indexes()}
    expected = {xxh3_128_digest(document(number)) for number in range(COUNT)}
    lacking, more = len(expected - found), len(found - expected)
    with capsys.disabled():
        print(  # noqa: T201  # the figures
            f"\n{way}: {COUNT:,} documents, killed {killed} times, {calls} calls, {took:.0f} s; "
            f"acknowledged and forgotten {forgotten:,}, lacking {lacking}, others {more}"
        )

    assert KILLS == killed
    assert (0, 0) == (lacking, more)
    assert options == info["options"]
    assert all(index == built[index["name"]] for index in indexes)


def largest(database):
    """How many documents the collection holds that is being filled, wherever it is filled."""
    names = [n for n in database.list_collection_names() if n.endswith("invoices")]
    # What the server has counted is wrong after it was killed.
    return max((database[name].count_documents({}) for name in names), default=0)
