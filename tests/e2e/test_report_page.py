"""The page of a report in a real browser: both colour schemes, paper, and not one request."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from datetime import UTC, datetime

import pytest
from results import a_plan, a_result

from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.results import CollectionSummary
from newbi_migrate.report.html import html_report
from newbi_migrate.report.migration import result_document

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NASTY = "<script>console.error('run')</script><img src=http://elsewhere.test/a.png>"
LIGHT, DARK = (0xF7, 0xF8, 0xFA), (0x11, 0x16, 0x1C)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on the search path (apt: chromium)"),
]


@pytest.fixture(scope="module")
def page():
    """The page of a run that holds what would be markup if it were not escaped."""
    plan = a_plan(
        collections={NASTY: CollectionSummary(NASTY, 3, stamped=2, quarantined=1)},
        not_registered={NASTY: 2},
    )
    plan.quarantine.add(NASTY, NASTY, Reason.OWNER_UNKNOWN, [NASTY])
    document = result_document(
        a_result(plan), command="migrate", next_command="newbi-migrate status"
    )
    return "".join(html_report(document, written_at=datetime(2025, 8, 14, tzinfo=UTC)))


@pytest.fixture
def browse(tmp_path):
    """Opens a page; gives what the browser printed, its complaints, and what the page asked for."""

    def call(page, *arguments, dark=False):
        path, log = tmp_path / "page.html", tmp_path / "net.json"
        path.write_text(page, "utf-8")
        done = subprocess.run(
            [
                BROWSER,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
                "--hide-scrollbars",
                "--window-size=1000,1400",
                "--enable-logging=stderr",
                f"--log-net-log={log}",
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                # Nobody listens there: nothing leaves the machine, whoever asks for it.
                "--proxy-server=127.0.0.1:9",
                *arguments,
                path.as_uri(),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=90,
        )
        return done.stdout, re.findall(r".*CONSOLE.*", done.stderr), asked_for(log)

    return call


def asked_for(log):
    """What a page asked for; what the browser wants for itself has no page as its origin."""
    known = json.loads(log.read_text("utf-8"))
    begun = known["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    facts = [event["params"] for event in known["events"] if event["type"] == begun]
    return [
        fact["url"]
        for fact in facts
        if "url" in fact and fact.get("initiator") not in {None, "not an origin"}
    ]


def first_pixel(png):
    """The colour in the upper left corner; no filter of a PNG changes it there."""
    data = b""
    position = 8
    while position < len(png):
        length = int.from_bytes(png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += length + 12
    return tuple(zlib.decompress(data)[1:4])


def test_a_browser_shows_the_page_and_asks_for_nothing(browse, page):
    """No request is made, nothing is complained about, and what looks like markup is text."""
    dom, complaints, asked = browse(page, "--dump-dom")

    assert ([], []) == (complaints, asked)
    assert "<script" not in dom
    assert "&lt;script&gt;" in dom
    assert '<h2 id="s0">Where the users go</h2>' in dom


@pytest.mark.parametrize("policy", [True, False], ids=["with its policy", "without it"])
def test_even_markup_that_got_through_would_fetch_and_run_nothing(browse, page, policy):
    """The page's own policy stops it; without the policy this very test sees it happen."""
    spoilt = page.replace("<main>", f"<main>{NASTY}")
    if not policy:
        spoilt = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", spoilt)
    _, complaints, asked = browse(spoilt, "--dump-dom")

    assert policy is not any("elsewhere.test" in url for url in asked)
    assert policy is not any('"run"' in complaint for complaint in complaints)


@pytest.mark.parametrize(("dark", "ground"), [(False, LIGHT), (True, DARK)], ids=["light", "dark"])
def test_a_page_follows_the_readers_colour_scheme(browse, page, tmp_path, dark, ground):
    """Who reads in the dark gets a dark page, without a script."""
    shot = tmp_path / "shot.png"
    _, complaints, asked = browse(page, f"--screenshot={shot}", dark=dark)

    assert ground == first_pixel(shot.read_bytes())
    assert ([], []) == (complaints, asked)


def test_a_page_can_be_printed(browse, page, tmp_path):
    """On paper it is complete, on a few pages."""
    paper = tmp_path / "page.pdf"
    browse(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer", dark=True)
    pages = re.findall(rb"/Type\s*/Page\b", paper.read_bytes())

    assert 1 <= len(pages) <= 4
