"""Whatever a document holds, no renderer of it can be steered, broken or brought to an end."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pytest
from bson import ObjectId
from hypothesis import given, strategies as st
from pages import Page, junit

from newbi_migrate import ExitCode
from newbi_migrate.cli.logfile import LogFile
from newbi_migrate.cli.progress import showing_progress
from newbi_migrate.masking import shown_id
from newbi_migrate.report.console import console_report, print_parts
from newbi_migrate.report.document import (
    Badge,
    Bar,
    Case,
    Document,
    Figure,
    Group,
    Groups,
    Listing,
    Part,
    Section,
    State,
    Table,
    Tone,
)
from newbi_migrate.report.html import html_report
from newbi_migrate.report.json import json_parts
from newbi_migrate.report.junit import junit_report
from newbi_migrate.report.ndjson import ndjson_report
from newbi_migrate.report.text import FOR_TERMINALS

DAY = datetime(2025, 8, 14, 9, 30, tzinfo=UTC)
NASTY = (
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "[bold red]a[/b][link=http://x]",
    "<script>alert('&')</script>",
    "]]>--><![CDATA[",
    "{{ 7 * 7 }}{% raw %}",
    "\ud800",
    "\udcff\udc80",
    "a\u202eb\u2066",
    "\r\n\x00\x85\u2028",
    "\N{PILE OF POO}é→…",
)
ANYTHING = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(exclude_categories=())), st.text(max_size=3)
)
NUMBERS = st.sampled_from([float("nan"), float("inf"), 1.5, 0.0])


def a_document(text, number=1.0):
    """A document with a block of every kind and the same text wherever text can stand."""
    bar = Bar((Part(text, 2, Tone.GOOD), Part(text, 1, Tone.BAD)), text)
    group = Group(text, 3, {text: 2, f"{text}2": 1}, text, text, [text, text])
    rows = ((text, 1, bar, (bar,), Badge(text, Tone.ODD)),)
    blocks = (
        text,
        Badge(text, Tone.BAD),
        bar,
        Table(text, (text,) * 5, rows, 2, lambda: iter(rows)),
        Table(text, (text,) * 5, rows),
        Groups(text, text, (group,)),
        Groups(text, text, (group,) * 9),
        Groups(text, text, (group,) * 9, brief=True),
        Listing(lambda: [text], 1),
    )
    sections = (Section(f"a{text}", blocks), Section("", (text,)), Section(text, blocks, True))
    value = {text: text, "list": iter([text, {text: number}]), "id": ObjectId(b"a" * 12)}
    return Document(
        command="plan",
        database=text,
        title=text,
        exit_code=ExitCode.QUARANTINED,
        next_command=text,
        run_id=f"a{text}",
        figures=(Figure(1, text),),
        sections=sections,
        summary=(text,),
        cases=tuple(Case(text, text, state, text, text, (text,)) for state in State),
        timings={"a": 1.0},
        lines=lambda: iter([{"type": text, text: number}]),
        value=lambda: value,
    )


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def strictly(text):
    """A JSON text as a strict reader takes it."""
    text.encode()
    return json.loads(text, parse_constant=no_constant)


def whole(value):
    """Whether no half of a surrogate pair is anywhere in a value."""
    return json.dumps(value, ensure_ascii=False).encode() is not None


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("verbose", [False, True])
@given(text=ANYTHING)
def test_nothing_in_a_document_steers_a_terminal(colour, verbose, text):
    """Only lines and the colours that the renderer gives itself reach it, all of it in UTF-8."""
    file = io.StringIO()
    file.isatty = lambda: colour
    print_parts(console_report(a_document(text), verbose=verbose), file)
    written = file.getvalue()
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", written)

    assert all(c.isprintable() or c == "\n" for c in without_colours)
    assert written.encode() is not None


def test_what_looks_like_markup_of_a_terminal_is_shown_as_it_is():
    """Brackets are brackets, in every place where text can stand."""
    file = io.StringIO()
    print_parts(console_report(a_document("[bold]x[/bold]")), file)

    assert 10 < file.getvalue().count("[bold]x[/bold]")


@cache
def elements_of_a_page():
    return [n for n, _ in Page("".join(html_report(a_document("x"), written_at=DAY))).elements]


@given(text=ANYTHING)
def test_nothing_in_a_document_is_an_element_of_a_page(text):
    """A page has the same elements whatever stands in them, and is UTF-8."""
    page = "".join(html_report(a_document(text or "x"), written_at=DAY))

    assert elements_of_a_page() == [n for n, _ in Page(page).elements]
    assert page.encode() is not None


@given(text=ANYTHING)
def test_nothing_in_a_document_is_an_element_of_a_junit_report(text):
    """It is well-formed XML with the same elements, which every parser reads."""
    written = "".join(junit_report(a_document(text or "x"), written_at=DAY))
    plain = "".join(junit_report(a_document("x"), written_at=DAY))

    assert [e.tag for e in junit(plain).iter()] == [e.tag for e in junit(written).iter()]
    assert written.encode() is not None


@given(text=ANYTHING, number=NUMBERS)
def test_json_is_json_whatever_a_document_holds(text, number):
    """Neither half a surrogate pair nor a number that is none breaks a strict reader."""
    document = a_document(text, number)
    answer = strictly("".join(json_parts(document.value())))
    lines = [strictly(line) for line in ndjson_report(document, written_at=DAY)]

    assert {"$oid": "61" * 12} == answer["id"]
    assert 2 == len(lines)
    assert whole(answer)
    assert whole(lines)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@given(text=ANYTHING)
def test_a_terminal_of_any_encoding_shows_a_document(encoding, text):
    """What it lacks is written with characters it has; nothing ends with an error."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors=FOR_TERMINALS)
    print_parts(console_report(a_document(text)), stream)

    assert raw.getvalue().decode(encoding)


def test_the_head_of_a_column_is_in_one_piece(monkeypatch):
    """Also above numbers that are shorter, on 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    table = Table("", ("collection", "documents", ""), (("invoices", 443, ""), ("x", 2, "")))
    file = io.StringIO()
    print_parts(console_report(replace(a_document("x"), sections=(Section("", (table,)),))), file)

    assert " collection documents" in file.getvalue()


def test_an_arrow_is_an_arrow_on_a_terminal_that_has_none():
    """Punctuation of ours has a form in ASCII."""
    assert b"-> x..." == "→ x…".encode("latin-1", FOR_TERMINALS)
    assert b"\\u20ac" == "€".encode("latin-1", FOR_TERMINALS)


def test_ids_of_different_types_never_look_alike():
    """An ObjectId is bare, a text is quoted, whatever else is Extended JSON."""
    oid = ObjectId(b"a" * 12)
    shown = [shown_id(each) for each in (oid, str(oid), 7, b"a", {"a": oid})]

    assert str(oid) == shown[0]
    assert f'"{oid}"' == shown[1]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        ("marie.dupont@exemple.fr", '"m***@e***.fr"'),
        ({"login": "marie@exemple.fr", "n": 1}, '{"login": "m***@e***.fr", "n": 1}'),
        (["a@b.fr", "élodie+x@mail.exemple.fr"], '["a***@b***.fr", "é***@m***.fr"]'),
        ("a@b", '"a@b"'),
        ("invoice 7", '"invoice 7"'),
    ],
)
def test_an_email_that_is_an_id_is_masked(identifier, shown):
    """Some databases use it for one; wherever people read it it is their e-mail."""
    assert shown == shown_id(identifier)


def test_who_wants_no_colour_gets_no_escape_sequence_at_all(monkeypatch):
    """Not even bold: NO_COLOR is for plain output."""
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    file.isatty = lambda: True
    print_parts(console_report(a_document("x"), verbose=True), file)

    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_is_told_of_a_run_steers_a_terminal(text, monkeypatch, tmp_path):
    """Neither a bar, a line, a note nor the log file takes a name for anything but text."""
    screen, lines = io.StringIO(), io.StringIO()
    screen.isatty = lambda: True
    log = LogFile(tmp_path / "run.log", str)
    for stream in (screen, lines):
        monkeypatch.setattr("sys.stderr", stream)
        with showing_progress(log=log) as progress:
            progress.phase(text, 3)
            progress.advance(3, text)
            progress.note(text)
    log.close()
    written = lines.getvalue() + (tmp_path / "run.log").read_text("utf-8")

    assert all(c.isprintable() or c == "\n" for c in written)
    assert screen.getvalue().encode() is not None
    assert "\x1b[2J" not in screen.getvalue()
    assert "\x07" not in screen.getvalue()
