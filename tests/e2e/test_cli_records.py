"""The page on run records names every field that a run leaves in the database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from newbi_migrate.store.journal import EntryKind

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "run-records.md"


def documented(section):
    """Every name in code font of a section."""
    text = PAGE.read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`(\w+)`", text))


def fields(database, name, **query):
    """The fields that documents of a collection have, all of them together."""
    return {key for document in database[name].find(query) for key in document}


@pytest.fixture
def recorded(quick, dirty):
    """A run with digests that left something out, taken back; and the runs that end one."""
    dirty["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    quick("migrate", "--confirm", "--record-digests")
    quick("indexes", "--apply", "--confirm")
    quick("rollback", "--all", "--confirm")
    quick("migrate", "--confirm", "--record-digests")
    return dirty


@pytest.mark.slow
def test_every_field_of_a_run_is_on_the_page(recorded):
    """Of its record, of the lines for its users, and of the lease."""
    for name in ("runs", "users", "lease"):
        collection = f"newbi_migrate_{name}"

        assert set() != fields(recorded, collection)
        assert set() == fields(recorded, collection) - {"_id"} - documented(collection), name


@pytest.mark.slow
def test_every_kind_of_journal_entry_is_on_the_page_with_its_fields(recorded):
    """Those of users and of windows with what each write and each group holds, too."""
    journal = "newbi_migrate_journal"
    listed = documented(journal)
    inner = {
        key
        for entry in recorded[journal].find()
        for part in (*entry.get("writes", ()), *entry.get("groups", ()))
        for key in part
    }

    assert {kind.value for kind in EntryKind} <= listed
    assert set() == (fields(recorded, journal) | inner) - {"_id"} - listed


def test_what_a_run_was_backed_by_is_on_the_page(recorded):
    """The baseline, and what it holds of each collection."""
    run = recorded["newbi_migrate_runs"].find_one({"baseline": {"$ne": None}})
    baseline = run["baseline"]
    inner = {key for entry in baseline["collections"] for key in entry}

    assert set() == (set(baseline) | inner) - documented("baseline")
