"""What a run leaves behind, in a form in which two runs of the same database are equal."""

from __future__ import annotations

from datetime import datetime

import bson
from bson.raw_bson import RawBSONDocument
from fingerprints import changes, fingerprint

from newbi_migrate.store.raw import unpack_ids

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # as PyMongo gives dates back


def expire_lease(database):
    """End the lease of a process that was killed, instead of waiting half a minute."""
    database["newbi_migrate_lease"].update_one({"_id": "lease"}, {"$set": {"expiresAt": EPOCH}})


def journaled(database):
    """Everything the journal says was surely written, whatever the entries it is divided into."""
    found = set()
    for entry in database["newbi_migrate_journal"].find({"state": "applied"}):
        name = entry["collection"]
        for group in entry.get("groups", ()):
            if not group.get("certain", True):
                continue
            values = _text({"set": group["set"], "prior": group["prior"]})
            found |= {(name, "stamp", _text({"": i}), values) for i in unpack_ids(group["ids"])}
        for write in entry.get("writes", ()):
            if not write.get("certain", True):
                continue
            values = _text({k: v for k, v in write.items() if k not in {"op", "collection", "id"}})
            found.add((write["collection"], write["op"], _text({"": write["id"]}), values))
        found |= {(name, entry["kind"], each) for each in entry.get("created", ())}
    return found


def who_became_who(database):
    """The users' records of all runs, without the ids of the runs."""
    return {
        _text({k: v for k, v in document.items() if k != "_id"})
        for document in database["newbi_migrate_users"].find()
    }


def counts(run):
    """What a run's record says came of it, interrupted or not."""
    names = ("documents", "stamped", "ownersRewritten", "kept", "quarantined")
    collections = {
        name: {each: summary[each] for each in names}
        for name, summary in run.get("collections", {}).items()
    }
    others = {each: run.get(each) for each in ("created", "filled", "quarantined", "exitCode")}
    return {**others, "collections": collections}


def trace(database):
    """What a finished run left: the data, what its records say, and that it is finished."""
    runs = list(database["newbi_migrate_runs"].find())
    lease = database["newbi_migrate_lease"].find_one() or {"expiresAt": EPOCH}
    return {
        "data": fingerprint(database, run_records=False),
        "journaled": journaled(database),
        "users": who_became_who(database),
        "states": [run["state"] for run in runs],
        "counts": [counts(run) for run in runs],
        "began": ["startedAt" in run for run in runs],
        "pending": database["newbi_migrate_journal"].count_documents({"state": "pending"}),
        "lease": lease["expiresAt"] == EPOCH,
    }


def differences(expected, found):
    """One readable line for each difference between two traces; none if they are equal."""
    lines = changes(expected["data"], found["data"])
    for name in ("journaled", "users"):
        lines += [f"{name}: lacks {each}" for each in sorted(expected[name] - found[name])]
        lines += [f"{name}: besides {each}" for each in sorted(found[name] - expected[name])]
    for name in ("states", "counts", "began", "pending", "lease"):
        if expected[name] != found[name]:
            lines.append(f"{name}: {found[name]} instead of {expected[name]}")
    return lines


def _text(document):
    return bson.encode(document).hex() if not isinstance(document, RawBSONDocument) else ""
