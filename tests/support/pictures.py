"""Make the recording of the demo and the picture of a report: ``nox -s pictures``.

The pages show both. A test compares the recording with what the demo prints.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from newbi_migrate.cli.demo import demo
from newbi_migrate.demo.database import DemoDatabase
from newbi_migrate.testing import EmbeddedMongod

ASSETS = Path(__file__).resolve().parents[2] / "docs" / "assets"
RECORDING, PICTURE = ASSETS / "demo.txt", ASSETS / "report.png"
COLUMNS = 80
SIZE = {
    name: option.default
    for name, option in inspect.signature(demo).parameters.items()
    if name in {"users", "documents", "seed"}
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LARGEST_PICTURE = 200_000

# What differs from one run of the demo to the next: times, and what is drawn at random.
_CHANGING = re.compile(
    r"\d+\.\d+ s\b|\b\d{4}-\d\d-\d\d \d\d:\d\d\b(?=\s+\d+\s+\d+$)|(?<=run )[0-9a-f]{24}"
    r"|^ [0-9a-f]{24}(?= migrate)",
    re.MULTILINE,
)


def stable(told):
    """The words of a recording that are the same whenever and wherever it is made."""
    return _CHANGING.sub("…", told).split()


def told_by_the_demo():
    """What a newcomer sees on a terminal of 80 columns, without colours."""
    done = subprocess.run(
        [sys.executable, "-m", "newbi_migrate", "demo"],
        env={**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return done.stdout


def picture_of_a_report(browser, path):
    """Take a picture of the page that ``plan --report`` writes for the demo's database."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedMongod() as server:
        uri = server.uri_for("newbi")
        with DemoDatabase(uri) as database:
            database.build(**SIZE)
        page = Path(folder, "plan.html")
        # It ends with 5: the demo's database holds what cannot be decided without a person.
        subprocess.run(
            [sys.executable, "-m", "newbi_migrate", "plan", "--report", page],
            env={**os.environ, "MONGODB_URI": uri},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--window-size=1000,975", f"--screenshot={path}"),
                *(f"--user-data-dir={folder}/profile", "--blink-settings=preferredColorScheme=1"),
                # Nobody listens there: nothing leaves the machine.
                *("--proxy-server=127.0.0.1:9", page.as_uri()),
            ],
            capture_output=True,
            check=True,
            timeout=90,
        )


def main():
    """Make both anew."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("There is no Chromium on the search path to take the picture with.")
    RECORDING.write_text(told_by_the_demo(), "utf-8")
    picture_of_a_report(browser, PICTURE)
    if PICTURE.stat().st_size > LARGEST_PICTURE:
        sys.exit(f"{PICTURE.name} is larger than {LARGEST_PICTURE:,} bytes.")


if __name__ == "__main__":
    main()
