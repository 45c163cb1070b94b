"""What is said while a command is under way: how much, how fast, how long yet; that it lives."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from rich.console import Console
from small_legacy import USERS

from newbi_migrate import ExitCode
from newbi_migrate.cli import progress as shown
from newbi_migrate.cli.progress import showing_progress

PLANNING = ("plan users", "survey documents", "plan indexes of collections")
CHECKING = ("users", "documents", "references", "indexes of collections", "rules of the models")
LOOKING_BACK = ("survey documents", "survey users")
BACK = (*LOOKING_BACK, "drop indexes", "documents", "users")
PHASES = {
    ("backup",): ("backup", "exports"),
    ("verify-backup", "--compare", "BACKUP"): ("verify", "compare"),
    ("restore", "--database", "OTHER", "--confirm", "BACKUP"): ("verify", "restore", "indexes"),
    ("restore", "--drop", "--confirm", "BACKUP"): ("verify", "drop collections", "restore"),
    ("plan", "--backup", "BACKUP"): ("verify", "compare", *PLANNING),
    ("migrate", "--confirm", "--backup", "BACKUP"): (
        "verify",
        "compare",
        *PLANNING,
        "record users",
        "users",
        "documents",
        "rescan",
        "indexes",
    ),
    ("migrate", "--dry-run"): PLANNING,
    ("backfill", "--confirm"): (
        "survey documents",
        "plan indexes of collections",
        "documents",
        "rescan",
    ),
    ("validate",): CHECKING,
    ("validate", "--unchanged"): (*CHECKING, "conservation"),
    ("rollback", "--dry-run"): LOOKING_BACK,
    ("rollback", "--confirm"): BACK,
    ("rollback", "--all", "--confirm"): BACK,
    ("rollback", "--collections", "invoices", "--confirm"): ("survey documents", "documents"),
    ("rollback", "--users", "USER", "--confirm"): (*LOOKING_BACK, "documents", "users"),
    ("indexes", "--apply", "--confirm"): ("swap indexes",),
    ("finalize", "--dry-run"): (*PLANNING, *CHECKING),
    ("finalize", "--confirm"): (*PLANNING, *CHECKING, "swap indexes"),
    ("doctor",): ("doctor",),
    ("status",): ("collections",),
}
AFTERWARDS = ("backfill", "rollback", "indexes", "finalize", "validate")
# What is only waited for, or found out: its size is not known before.
OF_UNKNOWN_SIZE = re.compile(
    r"waiting .*|take the lease|read users|read the journal|find what refers to them"
    r"|legacy users|organizations and runs"
)


@pytest.fixture
def phases(monkeypatch):
    """The phases that were begun: name and size."""
    begun = []
    honest = shown._Lines.phase

    def phase(lines, name, total):
        begun.append((name, total))
        honest(lines, name, total)

    monkeypatch.setattr(shown._Lines, "phase", phase)
    return begun


@pytest.mark.slow
@pytest.mark.parametrize("command", PHASES, ids=" ".join)
def test_every_phase_of_every_long_command_has_a_size_and_an_end(
    quick, clean, monkeypatch, phases, command
):
    """A line says how much there is to do, another that it is done, in what time and how fast."""
    given = {"OTHER": f"{clean.name}_other", "USER": str(clean["Users"].find_one()["_id"])}
    clean["invoices"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    if "BACKUP" in command:
        given["BACKUP"] = quick("backup", "--no-exports", "--json").json["path"]
    if command[0] in AFTERWARDS:
        quick("migrate", "--confirm", "--record-digests")
    if command[0] == "backfill":
        clean["invoices"].insert_many([{"createdBy": USERS[0], "number": f"late{n}"} for n in "ab"])
    phases.clear()
    monkeypatch.setattr(shown, "_EVERY_SECONDS", 0.04)
    monkeypatch.setattr(shown, "_SHORT_SECONDS", 0)
    answer = quick(*(given.get(word, word) for word in command))
    clean.client.drop_database(given["OTHER"])
    said = [line.partition(" ")[2] for line in answer.err.splitlines()]

    assert [] == [n for n, total in phases if total is None and not OF_UNKNOWN_SIZE.fullmatch(n)]
    assert {*PHASES[command]} <= {name for name, _ in phases}
    assert "error" not in answer.err
    if command[0] not in ("doctor", "status"):
        for name, total in phases:
            if total:
                assert f"{name}: {total:,} to go" in said
                ends = re.compile(rf"{name}: {total:,} of {total:,} .*[\d.]+ s, [\d,.e+]+/s")
                assert any(ends.fullmatch(line) for line in said), name


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock by which lines are told."""
    clock = Clock()
    monkeypatch.setattr(shown.time, "monotonic", clock)
    return clock


def test_a_line_says_how_much_how_fast_and_how_long_yet(clock):
    """Every two seconds, with the collection; then that it is done, once."""
    said = []
    lines = shown._Lines(said.append)
    lines.phase("documents", 5000)
    for clock.now, amount in ((1.0, 500), (2.0, 500), (3.0, 10), (4.0, 990), (10.0, 3000)):
        lines.advance(amount, "invoices")
    lines.advance(7, "invoices")
    lines.end()

    assert [
        "documents: 5,000 to go",
        "documents: 1,000 of 5,000, 500/s, 8.0 s left (invoices)",
        "documents: 2,000 of 5,000, 500/s, 6.0 s left (invoices)",
        "documents: 5,000 of 5,000 in 10 s, 500/s",
    ] == said


def test_how_long_it_takes_yet_follows_from_the_latest_rate(clock):
    """A resumed run passes what is done in a moment; that says nothing of what is left."""
    said = []
    lines = shown._Lines(said.append)
    lines.phase("documents", 110_000)
    clock.now = 1.0
    lines.advance(100_000)
    for second in range(2, 92):
        clock.now = float(second)
        lines.advance(100)

    assert "documents: 108,900 of 110,000, 100/s, 11 s left" == said[-1]


def test_the_bars_fit_on_a_small_terminal_however_many_phases_there_are():
    """Those of the last phases stay; the one that is under way is always among them."""
    bars = shown.Bars(console=Console(file=io.StringIO()))
    watched = shown._Watched(bars)
    for number in range(40):
        watched.phase(f"phase {number}", 2)
        watched.advance(1)

    assert 24 > len(bars.tasks)
    assert ("phase 39", 1) == (bars.tasks[-1].description, bars.tasks[-1].completed)


def test_what_stands_still_is_said_to_live(clock):
    """Nothing done yet, nothing more done, a phase of unknown size, and one that is over."""
    said = []
    lines = shown._Lines(said.append)
    for name, total, done in (("first", 10, 0), ("second", 10, 4), ("wait", None, 0), ("x", 3, 3)):
        lines.phase(name, total)
        lines.advance(done)
        clock.now += 4
        lines.tick()
        lines.tick()

    assert "first: 0 of 10, 4.0 s" in said
    assert "second: 4 of 10, 1/s, 6.0 s left" in said
    assert "wait: 4.0 s" in said
    assert "x: done, going on, 4.0 s" in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (64, "64 s"), (600, "10 min"), (9000, "2 h 30 min")],
)
def test_a_time_is_told_in_units_people_wait_in(seconds, words):
    """Seconds, then minutes, then hours."""
    assert words == shown._span(seconds)


def test_what_takes_no_time_has_no_rate(clock):
    """Ninety million documents a second are no measurement."""
    said = []
    lines = shown._Lines(said.append)
    lines.phase("verify", 5116)
    clock.now += 0.00005
    lines.advance(5116)

    assert "verify: 5,116 of 5,116 in 0.0 s" == said[-1]


def test_a_phase_that_ends_early_says_how_far_it_came(clock):
    """An estimate may be too high; and whoever interrupts a run wants to know."""
    said = []
    lines = shown._Lines(said.append)
    lines.phase("documents", 100)
    clock.now += 1
    lines.advance(60)
    lines.phase("rescan", 10)
    lines.end()

    assert "documents: 60 of 100, 60/s, 0.7 s left" in said
    assert "rescan: 0 of 10, 0.0 s" == said[-1]


@pytest.mark.slow
@pytest.mark.parametrize("command", [("status",), ("validate", "--json")], ids=" ".join)
def test_an_unreachable_server_is_waited_for_with_a_sign_of_life(newbi, command):
    """Where, how long at most, and in the end that there was no answer."""
    uri = "mongodb://127.0.0.1:9/newbi?serverSelectionTimeoutMS=5000"
    answer = newbi(*command, uri=uri)
    waits = re.findall(
        r"waiting for 127\.0\.0\.1:9 \(5 s at most to find it\): \d\.\d s", answer.err
    )

    assert ExitCode.UNREACHABLE == answer.code
    assert 2 == len(waits)
    assert "No MongoDB server answered at 127.0.0.1:9 in 5 s." in answer.err


def test_there_is_a_sign_of_life_while_nothing_is_told_at_all(monkeypatch, capfd):
    """Also where the event loop itself is busy."""
    monkeypatch.setattr(shown, "_EVERY_SECONDS", 0.1)
    with showing_progress(quiet=True) as progress:
        progress.phase("thinking", None)
        time.sleep(0.5)
    threads = [thread.name for thread in threading.enumerate()]

    assert 3 <= capfd.readouterr().err.count("thinking: ") <= 6
    assert "progress" not in threads
