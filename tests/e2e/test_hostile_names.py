"""Whatever a server, a document, a client, a file or a backup holds is text, in every answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from pages import Page, junit
from pymongo import MongoClient
from small_legacy import USERS, legacy_user

from newbi_migrate import ExitCode

# What a terminal, a page, a table of Rich or a shell would act upon.
STEERING = (
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "[bold red]a[/b][link=http://x]",
    "[/]",
    "<script>alert('&')</script>",
    "]]>--><![CDATA[",
    "{{ 7 * 7 }}{% raw %}",
    "a\u202eb\u2066",
    "\r\n\x85\u2028",
    "\N{PILE OF POO}é→…",
    "'; rm -rf (x) `y`",
    "\x7f\b\t",
)
# What the server takes for a name, and a file system for a part of a path.
NAMES = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0$/"), min_size=1, max_size=12
).filter(lambda name: not name.strip().startswith((".", "system.")) and not name.endswith("."))


def told(answer):
    """All that a command wrote, for people and for programs."""
    return answer.out + answer.err


def steered(text):
    """The characters of a text that are none to be read."""
    return {c for c in text if not (c.isprintable() or c == "\n")}


def elements(path):
    """The kinds of elements of a page."""
    return {name for name, _ in Page(path.read_text("utf-8")).elements}


@pytest.fixture
def filled(sync_database):
    """Fills the database with names that are drawn."""

    def fill(names):
        for name in sync_database.list_collection_names():
            sync_database.drop_collection(name)
        for number, name in enumerate(names):
            sync_database["Users"].insert_one(
                legacy_user(number % 8, _id=f"{name}{number}", email=f"{name}@x.fr")
            )
            sync_database["invoices"].insert_many(
                {"_id": f"{name}{n}", "createdBy": owner, "number": name, "status": name}
                for n, owner in enumerate((USERS[0], name, ObjectId(), {name: name}))
            )
            sync_database[name].insert_one({"createdBy": name})
            sync_database[f"{name}i"].create_index([("a", 1)], name=f"{name}")
        sync_database["Users"].insert_one(legacy_user(0))
        sync_database["invoices"].create_index([("number", 1)], name=names[0])

    return fill


@pytest.mark.slow
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=st.lists(NAMES, min_size=8, max_size=8, unique=True))
def test_nothing_that_is_stored_steers_marks_up_or_ends_a_command(quick, filled, uri, drawn):
    """From the diagnosis to the way back, in plain text, JSON, pages, XML and log files."""
    names = list(dict.fromkeys((*STEERING, *drawn)))
    filled(names)
    shutil.rmtree("out", ignore_errors=True)
    Path("out").mkdir()
    folder = f"out/{names[0]}"
    answers = []

    def call(*arguments):
        answers.append(quick(*arguments))
        assert answers[-1].code != ExitCode.UNEXPECTED, answers[-1].err
        return answers[-1]

    reports = (
        "--report",
        f"out/{names[0]}.html",
        "--report",
        f"out/{names[0]}.xml",
        "--report",
        f"out/{names[0]}.ndjson",
    )
    log = ("--log-file", f"out/{names[0]}.log")
    with MongoClient(uri, appname=names[0]) as other:
        other.admin.command("ping")
        call("doctor", "--watch", "0.1")
    call("backup", "--output-dir", folder, *log)
    (backup,) = Path(folder).iterdir()
    call("verify-backup", "--compare", "--verbose", backup)
    call("plan", "--verbose", *reports, *log, "--output", f"out/{names[0]}.plan")
    call("plan", "--json")
    call("plan", "--legacy-collection", names[0])
    call("migrate", "--confirm", "--verbose", *reports, *log)
    call("validate", "--detailed", *reports, *log)
    call("validate", "--json")
    call("status")
    call("verify-backup", "--compare", "--verbose", backup)
    call("restore", "--dry-run", "--verbose", backup)
    call("restore", "--drop", "--dry-run", "--verbose", backup)
    call("rollback", "--dry-run", "--verbose", *reports)
    call("rollback", "--on-conflict", names[0])
    call("indexes")
    call("rollback", "--confirm", *log)

    for answer in answers:
        assert set() == steered(told(answer))
    files = [path for path in Path("out").iterdir() if path.is_file()]
    assert 5 == len(files)
    for path in files:
        text = path.read_text("utf-8")
        assert set() == steered(text), path
        if path.suffix == ".html":
            assert "script" not in elements(path)
        elif path.suffix == ".xml":
            assert junit(text) is not None
        elif path.suffix == ".ndjson":
            assert all(json.loads(line) for line in text.splitlines())
    assert set() == steered((backup / "backup_report.txt").read_text("utf-8"))
