"""No use-case writes without the lease."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener
from small_legacy import USERS, invoices, legacy_user

import newbi_migrate
from newbi_migrate.migration.facade import Migration

LEASE = "newbi_migrate_lease"
# Whatever else is sent counts as a write.
READS = {
    *("aggregate", "buildInfo", "count", "distinct", "endSessions", "find", "getMore", "hello"),
    *("killCursors", "listCollections", "listIndexes"),
    # They end what writes of others have begun, or of the run itself, under its lease.
    *("abortTransaction", "commitTransaction", "killSessions"),
}
SCENARIO = [
    ("migrate", Migration.apply),
    ("late", None),
    ("backfill", Migration.backfill),
    ("rollback", Migration.rollback),
    ("late again", Migration.apply),
    ("indexes", lambda migration: migration.indexes(apply=True)),
    ("finalize --keep", lambda migration: migration.finalize(keep=True)),
    ("rollback --all", Migration.rollback_all),
    ("migrate again", Migration.apply),
    ("finalize", lambda migration: migration.finalize(drop_journal=True)),
]


class Writes(CommandListener):
    """Each write, with the token of the lease while it is sent; those on the lease are left out."""

    def __init__(self, database):
        self._lease = database[LEASE]
        self.seen = []

    def started(self, event):
        name, command = event.command_name, event.command
        stages = command.get("pipeline", ())
        if name in READS and not any("$out" in stage or "$merge" in stage for stage in stages):
            return
        if command[name] != LEASE:
            lease = self._lease.find_one() or {}
            self.seen.append((name, command[name], lease.get("token")))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri_name", "database_name_"),
    [("uri", "sync_database"), ("replica_uri", "sync_replica_database")],
    ids=["standalone", "replica set"],
)
async def test_every_write_is_sent_while_the_lease_is_held_with_one_token(
    request, uri_name, database_name_
):
    """Between taking the lease and giving it back, and under no other lease than that one."""
    uri, database = request.getfixturevalue(uri_name), request.getfixturevalue(database_name_)
    database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        database["invoices"].insert_many(invoices(user, 2))
    database["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    numbers, without, idle = {}, {}, []
    for name, command in SCENARIO:
        if command is None:
            database["invoices"].insert_one({"createdBy": USERS[0], "number": name})
            continue
        writes = Writes(database)
        async with (
            AsyncMongoClient(uri, event_listeners=[writes]) as client,
            Migration(client.get_default_database()) as migration,
        ):
            await command(migration)
        tokens = {token for _, _, token in writes.seen}
        numbers[name] = len(tokens)
        without[name] = [each for each in writes.seen if each[2] is None]
        if not writes.seen:
            idle.append(name)
        assert database[LEASE].find_one()["token"] is None

    assert [] == idle
    assert {name: [] for name in without} == without
    assert dict.fromkeys(numbers, 1) == numbers


# -- in the code ------------------------------------------------------------------------------

METHODS = {
    *("insert_one", "insert_many", "update_one", "update_many", "replace_one", "bulk_write"),
    *("delete_one", "delete_many", "find_one_and_update", "find_one_and_replace"),
    *("find_one_and_delete", "create_collection", "drop_collection", "rename", "drop"),
    *("create_index", "create_indexes", "drop_index", "drop_indexes"),
}
COMMANDS = {
    *("insert", "update", "delete", "findAndModify", "create", "drop", "createIndexes"),
    *("dropIndexes", "renameCollection", "collMod", "convertToCapped", "dropDatabase"),
}
ROOT = Path(newbi_migrate.__file__).parent
OF_NO_RUN = {
    "store/lease.py": "the lease itself",
    "store/scratch.py": "the copy of a rehearsal, in a database that was empty before",
}
# What is no method of a collection, or names one the run may not write documents to.
AFTER_A_SAFE_POINT = {
    "store/structure.py": "collections are created, dropped and renamed through the database",
    "store/indexes.py": "a stored specification is built again as it is, by a command",
}


def writes_in(tree):
    """Each call that writes, with the function it is in."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and writes(call):
                yield function, call


def writes(call):
    if call.func.attr == "command":
        return bool(call.args) and getattr(call.args[0], "value", None) in COMMANDS
    # The store's own functions and methods of these names take the session, or are handed it.
    handed = call.args and getattr(call.args[0], "id", None) in {"session", "leased"}
    return call.func.attr in METHODS and not handed


def is_of_session(call):
    """Whether the collection was given by the session, in the same expression."""
    receiver = call.func.value
    while isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute):
        if receiver.func.attr == "collection":
            return True
        if receiver.func.attr != "with_options":
            return False
        receiver = receiver.func.value
    return False


def follows_safe_point(function, call):
    """Whether nothing is awaited between a safe point and the call."""
    nodes = list(ast.walk(function))
    safe = [
        node.lineno
        for node in nodes
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "safe_point"
    ]
    awaits = [node for node in nodes if isinstance(node, ast.Await)]
    begins = min(n.lineno for n in awaits if n.lineno <= call.lineno <= n.end_lineno)
    between = [point for point in safe if point < begins]
    return bool(between) and not any(max(between) < n.lineno < begins for n in awaits)


def test_nothing_in_the_code_writes_but_through_the_session():
    """A collection is the session's, or a safe point comes right before, in files named here."""
    wrong, used = [], set()
    for folder in ("migration", "store"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name in OF_NO_RUN:
                continue
            source = path.read_text("utf-8")
            if folder == "store":
                # Elsewhere nothing is sent, and people may be told of such a stage.
                assert '"$out"' not in source, name
                assert '"$merge"' not in source, name
            for function, call in writes_in(ast.parse(source)):
                if is_of_session(call):
                    continue
                if name in AFTER_A_SAFE_POINT and follows_safe_point(function, call):
                    used.add(name)
                    continue
                wrong.append(f"{name}:{call.lineno} {call.func.attr}")

    assert [] == wrong
    assert AFTER_A_SAFE_POINT.keys() == used
