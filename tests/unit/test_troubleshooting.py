"""What the page on troubleshooting quotes is what the code says, and it has every exit code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from newbi_migrate import ExitCode
from newbi_migrate.mapping.workspace import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
QUOTED = [line[2:] for line in PAGE.splitlines() if line.startswith("> ")]


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@cache
def said():
    """Every text in the code, with … for what is put into it."""
    texts = set()
    for path in sorted((ROOT / "newbi_migrate").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        texts |= {words(node) for node in ast.walk(tree)}
    return texts - {""}


def words(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(words(part) or "…" for part in node.values)
    return ""


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_on_the_page_is_one_of_the_programs(message):
    """Word for word; it ends where the page ends it with an ellipsis."""
    wanted = message.removesuffix("…").rstrip()

    assert [text for text in said() if wanted in text]


def test_every_exit_code_has_a_section_and_a_line_in_the_first_table():
    """Whoever has a code finds what to do."""
    listed = re.findall(r"^\| (\d+) \| .*\(#exit-code-(\d+)\)", PAGE, re.MULTILINE)

    assert [(str(int(code)), str(int(code))) for code in ExitCode] == listed
    assert all(section(f"Exit code {int(code)}") for code in ExitCode)


def test_a_pipeline_is_told_what_to_do_with_each_exit_code():
    """None is left for its author to guess."""
    page = (ROOT / "docs" / "how-to" / "ci-pipeline.md").read_text("utf-8")
    listed = re.findall(r"^\| (\d[\d, ]*) \|", page, re.MULTILINE)

    assert [int(code) for code in ExitCode] == [
        int(code) for codes in listed for code in codes.split(",")
    ]


def test_every_reason_to_quarantine_has_its_cure_on_the_page():
    """But for those that name no single document."""
    whole = {Reason.NOT_A_PLAIN_COLLECTION}
    listed = set(re.findall(r"`([a-z-]+)`", section("Exit code 5").partition("\n\nSettle")[0]))

    assert {reason.value for reason in Reason if reason not in whole} - listed == set()
