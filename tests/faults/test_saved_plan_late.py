"""A saved plan whose run died with a statement on its way: finished exactly, or refused truly."""

from __future__ import annotations

import pytest
from fingerprints import changes, fingerprint
from little import little_legacy
from small_legacy import USERS
from traces import expire_lease

MIGRATE = ("migrate", "--confirm")
QUARANTINED, STALE = 5, 3


def holds(database):
    return fingerprint(database, run_records=False)


def killed_with(kind, server, fresh, processes, tmp_path):
    """A run of a saved plan, killed with an entry of this kind pending, nothing of it written."""
    _, uri = fresh(server, little_legacy)
    whole = processes.run(uri, *MIGRATE)
    command = {
        "window": "update invoices",
        "users": "insert user",
        "index": "createIndexes invoices",
    }
    at = whole.commands.index(command[kind]) + 1
    database, uri = fresh(server, little_legacy)
    plan = str(tmp_path / "plan.json")
    processes.run(uri, "plan", "--output", plan)
    carry_out = (*MIGRATE, "--plan", plan)
    assert processes.run(uri, *carry_out, at=at, when="before").killed
    expire_lease(database)
    return database, uri, carry_out


@pytest.mark.parametrize("kind", ["window", "users", "index"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_late_statement_is_no_change_and_a_change_is_one(
    server, fresh, processes, tmp_path, kind, changed
):
    """What the dead run still wrote is part of the plan; what an application wrote is not."""
    if kind == "users" and "replicaSet" in server.uri_for("x"):
        pytest.skip("a transaction is all or nothing")
    expected_database, expected_uri = fresh(server, little_legacy)
    processes.run(expected_uri, *MIGRATE)
    expected = holds(expected_database)
    database, uri, carry_out = killed_with(kind, server, fresh, processes, tmp_path)
    # It takes the run over, marks the entry as perhaps written, and dies before it plans further.
    second = processes.run(uri, *carry_out, at=6, when="before")
    assert second.killed, second
    expire_lease(database)
    if kind == "window":
        user = USERS[0]
        workspace = expected_database["invoices"].find_one({"createdBy": user})["workspaceId"]
        database["invoices"].update_many(
            {"createdBy": user, "workspaceId": {"$exists": False}},
            {"$set": {"workspaceId": workspace}},
        )
    elif kind == "users":
        there = database["user"].distinct("_id")
        created = expected_database["user"].find({"_id": {"$nin": there}})
        database["user"].insert_many(list(created))
    else:
        for name, index in expected_database["invoices"].index_information().items():
            if name != "_id_":
                options = {k: v for k, v in index.items() if k not in {"key", "v"}}
                database["invoices"].create_index(index["key"], name=name, **options)
    if changed:
        database["invoices"].insert_one(
            {"createdBy": USERS[1], "number": "late", "issueDate": None}
        )
    ended = processes.run(uri, *carry_out)

    assert (STALE if changed else QUARANTINED) == ended.status, ended
    if not changed:
        assert [] == changes(expected, holds(database))
