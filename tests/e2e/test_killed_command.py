"""What a person sees whose command was killed in the middle of a migration."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from bson import ObjectId

from newbi_migrate import ExitCode

DOCUMENTS = 4000


@pytest.fixture
def killed(clean, uri, tmp_path):
    """A database whose migration was killed without warning, after its first documents."""
    owners = clean["Users"].distinct("_id")
    clean["invoices"].insert_many(
        [
            {"_id": ObjectId(f"64c0{n:020x}"), "createdBy": owners[n % 3], "number": f"x{n}"}
            for n in range(DOCUMENTS)
        ]
    )
    with subprocess.Popen(
        [sys.executable, "-m", "newbi_migrate", "migrate", "--confirm", "--batch-size", "10"],
        env={**os.environ, "MONGODB_URI": uri},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        deadline = time.monotonic() + 60
        while not 100 <= stamped(clean) and time.monotonic() < deadline:
            time.sleep(0.01)
        running.kill()
    return clean


def stamped(database):
    return database["invoices"].count_documents({"workspaceId": {"$exists": True}})


@pytest.mark.slow
def test_a_killed_command_is_finished_by_the_same_command(killed, quick):
    """The dead process's lease is in nobody's way on its machine; the run ends and says so."""
    begun = stamped(killed)
    status = quick("status")
    doctor = quick("doctor")
    again = quick("migrate", "--confirm")

    assert 100 <= begun < DOCUMENTS
    assert (ExitCode.PENDING, ExitCode.PENDING) == (status.code, doctor.code)
    assert "its process has ended" in " ".join(status.out.split())
    assert "Its process has ended." in " ".join(doctor.out.split())
    assert ExitCode.DONE == again.code
    assert again.out.startswith("An interrupted run was finished in the database")
    assert DOCUMENTS + 15 == stamped(killed)
    assert ExitCode.DONE == quick("status").code
    assert 1 == killed["newbi_migrate_runs"].count_documents({})
