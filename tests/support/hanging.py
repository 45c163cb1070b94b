"""Statements that the server has begun and does not end, for tests of what happens meanwhile."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def statements_hanging(client, database):
    """The server begins statements on the invoices, and writes nothing until the end of this."""
    name = f"{database.name}.invoices"
    point, data = "hangDuringBatchUpdate", {"namespace": name, "nss": name}
    client.admin.command("configureFailPoint", point, mode="alwaysOn", data=data)
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", point, mode="off")


def under_way(client, database):
    """Whether a statement on the invoices is being carried out."""
    stages = [
        {"$currentOp": {}},
        {"$match": {"op": "update", "ns": f"{database.name}.invoices"}},
    ]
    return list(client.admin.aggregate(stages))
