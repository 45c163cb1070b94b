"""The benchmarks that give the documentation its figures, on small databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import beanie
import pytest

ROOT = Path(__file__).parents[2]
EVERY = ROOT / "benchmarks" / "every.py"
SCRIPTS = sorted(
    path.name for path in EVERY.parent.glob("*.py") if path.name not in ("bulk.py", "every.py")
)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        hasattr(beanie.Document, "get_motor_collection"),
        reason="the figures are those of Beanie 2; this is Beanie 1 on Motor",
    ),
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_runs_and_has_its_part_of_the_page(script, tmp_path):
    """With what it prints below the command that printed it."""
    page = tmp_path / "speed.md"
    subprocess.run(
        [sys.executable, EVERY, "--quick", "--only", script, "--write", page], check=True
    )
    text = page.read_text(encoding="utf-8")

    assert f"$ python benchmarks/{script} " in text
    assert text.count("\n## ") == text.count("```console\n$ python") > 0
    assert min(map(len, text.split("```console\n$ ")[1:])) > 200


def test_measuring_one_benchmark_again_leaves_the_rest_of_the_page(tmp_path):
    """What it printed before goes."""
    page = tmp_path / "speed.md"
    page.write_text("# Speed\n\n## Users\n\nkept\n\n## Document models\n\nold\n", encoding="utf-8")
    subprocess.run(
        [sys.executable, EVERY, "--quick", "--only", "documents.py", "--write", page], check=True
    )
    text = page.read_text(encoding="utf-8")

    assert "## Users\n\nkept\n" in text
    assert text.count("## Document models\n") == 1
    assert "old" not in text.partition("## Document models")[2].splitlines()
