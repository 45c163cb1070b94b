"""The page of what was survived says what the files say, and the files are kept as they were."""

from __future__ import annotations

import json
import re

import pytest
from survived import FOLDER, MARKS, PAGE, page, record, runs, tables

COUNTS = {"migrate: killed | standalone": 3, "migrate: killed | replica set": 2, "tests": 7}


@pytest.fixture
def folder(tmp_path):
    """Two runs, of which the second did not hold."""
    record("faults 1/8", counts=COUNTS, seconds=12.4, seed=3, folder=tmp_path)
    record("cycles", counts={}, seconds=60, failed=["seed 7: a | b"], folder=tmp_path)
    return tmp_path


def test_the_page_says_what_the_files_say():
    """Whoever notes a run writes the page anew; nobody writes its tables by hand."""
    text = PAGE.read_text("utf-8")

    assert page(text, runs()) == text


def test_cases_are_added_up_by_kind_and_server(folder):
    """Each kind is one line, whatever runs it was counted in."""
    record("faults 2/8", counts=COUNTS, seconds=1, folder=folder)
    lines = tables(runs(folder)).splitlines()

    assert "| migrate: killed | 6 | 4 | 10 |" in lines
    assert "| tests |  |  | 14 |" in lines


def test_a_run_that_did_not_hold_says_what(folder):
    """And counts for nothing."""
    shown = tables(runs(folder))

    assert "`seed 7: a \\| b` failed" in shown
    assert re.search(r"\| faults 1/8 \| \d{4}-\d\d-\d\d \| 12 \| 3 \| held \|", shown)


def test_a_later_run_takes_the_place_of_an_earlier_one(folder):
    """One file for a name."""
    record("cycles", counts={"cycles": 5}, seconds=1, folder=folder)
    (cycles,) = (run for run in runs(folder) if run["name"] == "cycles")

    assert (2, {"cycles": 5}, []) == (len(runs(folder)), cycles["counts"], cycles["failed"])


def test_a_page_keeps_what_was_written_by_hand(folder):
    """Before the tables and after them."""
    written = page(f"Before.\n{MARKS[0]}\nold\n{MARKS[1]}\nAfter.\n", runs(folder))

    assert written.startswith("Before.\n")
    assert written.endswith(f"{MARKS[1]}\nAfter.\n")
    assert "old" not in written


def test_what_is_kept_names_no_machine_and_no_path():
    """Names, numbers, versions and a commit."""
    for file in FOLDER.glob("*.json"):
        found = json.loads(file.read_text("utf-8"))

        assert {
            *("name", "date", "seconds", "seed", "counts"),
            *("failed", "commit", "versions"),
        } == set(found)
        assert not re.search(r"/(?:home|root|tmp|dev|work)\b", file.read_text("utf-8")), file
