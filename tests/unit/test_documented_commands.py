"""Every command that a page shows exists, with every option it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from newbi_migrate.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
_SHOWN = re.compile(r"`newbi-migrate ([^`\n]+)`|^(?:\$ )?newbi-migrate ([^\n#]+)", re.MULTILINE)


def shown():
    for page in PAGES:
        for found in _SHOWN.finditer(page.read_text(encoding="utf-8")):
            yield page.relative_to(ROOT).as_posix(), (found.group(1) or found.group(2)).strip()


@pytest.fixture(scope="module")
def commands():
    """Command to its options."""
    group = typer.main.get_command(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts}
        | {option for parameter in command.params for option in parameter.secondary_opts}
        | {"--help", "-h"}
        for name, command in group.commands.items()
    }


@pytest.mark.parametrize(("page", "line"), sorted(set(shown())))
def test_a_command_on_a_page_can_be_typed(commands, page, line):
    """Neither a command nor an option that is shown is made up or out of date."""
    words = [word for word in shlex.split(line.replace("…", "")) if word]
    # `newbi-migrate report` is how a report names the program that wrote it.
    if words[0] in ("COMMAND", "--version", "--help", "report"):
        return

    assert words[0] in commands, page
    for word in words[1:]:
        if word.startswith("-"):
            assert word.partition("=")[0] in commands[words[0]], page
