"""``status --watch``: what a person, or a program, sees who watches a database."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from bson import ObjectId
from pymongo import MongoClient

from newbi_migrate.errors import ExitCode
from newbi_migrate.testing import EmbeddedMongod


@pytest.fixture
def watch(tmp_path):
    """Starts ``status --watch`` in a process of its own, and ends it."""
    started = []

    def call(uri, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "newbi_migrate", "status", "--watch", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "MONGODB_URI": uri},
            cwd=tmp_path,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_who_watches_sees_what_changes_until_ctrl_c(watch, clean, uri):
    """Each answer is a line of JSON with its time; Ctrl-C ends it with the code of the last."""
    process = watch(uri, "0.2", "--json")
    first = json.loads(process.stdout.readline())
    clean["invoices"].update_many({}, {"$set": {"workspaceId": ObjectId()}})
    latest = first
    deadline = time.monotonic() + 30
    while latest["withoutWorkspace"]["invoices"] and time.monotonic() < deadline:
        latest = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=30)

    assert (15, 0) == (
        first["withoutWorkspace"]["invoices"],
        latest["withoutWorkspace"]["invoices"],
    )
    assert first["at"] <= latest["at"]
    assert ExitCode.DONE == process.returncode
    assert 1 == len(said.splitlines())
    assert all(json.loads(line) for line in rest.splitlines())


@pytest.mark.slow
def test_each_answer_is_a_report_after_its_time(watch, clean, uri):
    """In a file or a pipe the answers stand below each other, each after its time."""
    process = watch(uri, "0.2")
    seen = "".join(process.stdout.readline() for _ in range(20))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+\nStatus of the database ", seen)
    assert "Documents without a workspace: 15" in seen


@pytest.mark.slow
def test_a_server_that_is_away_for_a_while_is_waited_for(watch):
    """That is said, and the watching goes on."""
    with EmbeddedMongod() as server:
        with MongoClient(server.uri) as client:
            client["newbi"]["Users"].insert_one({})
        uri = f"{server.uri_for('newbi')}?serverSelectionTimeoutMS=300"
        process = watch(uri, "0.2", "--json")
        process.stdout.readline()
        server.stop()
        place, said = process.stderr.readline(), process.stderr.readline()

        assert place.startswith("status: the database newbi on ")
        assert said.startswith("note: ")
        assert process.poll() is None
