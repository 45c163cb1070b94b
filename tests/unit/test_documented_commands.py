"""What pages say of commands, options, exit codes, checks and records is what the code says."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from newbi_migrate.cli.app import app
from newbi_migrate.cli.manual import ENVIRONMENT, MANUAL
from newbi_migrate.documents.json_schema import models_of, rules_left_out
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.doctor.leftovers import TRACES
from newbi_migrate.smoke.story import STEPS

OF_NO_COMMAND = {"--version", "--help", "--install-completion", "--show-completion"}
ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
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
    if words[0] in {"COMMAND", "report", *OF_NO_COMMAND}:
        return

    assert words[0] in commands, page
    for word in words[1:]:
        if word.startswith("-"):
            assert word.partition("=")[0] in commands[words[0]], page


def test_the_diagram_of_the_run_book_shows_commands_as_they_are_typed(commands):
    """What does not begin with a capital is a command with its options."""
    text = (ROOT / "docs" / "run.md").read_text("utf-8")
    diagram = text.partition("```mermaid\n")[2].partition("```")[0]
    steps = {
        tuple(step.removeprefix("then ").split())
        for label in re.findall(r'\["([^"]+)"\]', diagram)
        for step in label.split(", ")
        if step[0].islower()
    }

    assert {"backup", "plan", "migrate", "validate", "rollback", "finalize"} <= {
        name for name, *_ in steps
    }
    for name, *options in steps:
        assert {word for word in options if word.startswith("-")} <= commands[name], name


def rows(page, columns):
    """The cells of every row of a page's tables of so many columns."""
    found = []
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == columns and not set(cells[0]) <= {"-"}:
            found.append(cells)
    return found


def in_code(cells):
    return {name for cell in cells for name in re.findall(r"`([^` ]+)`", cell)}


def test_the_page_of_the_command_line_is_what_the_commands_say():
    """It is written by them; what to run where it is out of step is in the failure."""
    done = subprocess.run(
        [sys.executable, "-m", "newbi_migrate.cli.reference"], check=True, capture_output=True
    )

    assert done.stdout.decode() == (REFERENCE / "cli.md").read_text(encoding="utf-8"), (
        "Run: python -m newbi_migrate.cli.reference > docs/reference/cli.md"
    )


def test_every_command_has_an_entry_in_the_manual(commands):
    """Codes and examples are there for each, and for nothing that is no command."""
    assert set(commands) == set(MANUAL)
    for name, entry in MANUAL.items():
        assert ExitCode.DONE in entry.endings, name
        assert all(line.startswith(f"newbi-migrate {name}") for line in entry.examples), name


def test_the_reference_lists_the_options_that_can_be_typed(commands):
    """Each stands in the section of its command."""
    page = (REFERENCE / "cli.md").read_text("utf-8")
    for name, options in commands.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]

        assert {option for option in options - {"-h"} if option.startswith("--")} <= set(
            re.findall(r"--[a-z-]+", section)
        ), name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell):
    """What is asked for by the script that --install-completion adds."""
    typed = {"COMP_WORDS": "newbi-migrate verif", "COMP_CWORD": "1"}
    typed |= {
        "_TYPER_COMPLETE_ARGS": "newbi-migrate verif",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-m", "newbi_migrate"],
        env={**os.environ, **typed, "_NEWBI_MIGRATE_COMPLETE": f"complete_{shell}"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert "verify-backup" in done.stdout


def test_the_readme_gives_every_exit_code_its_meaning():
    """In the words of the code that defines them."""
    listed = {code: words for code, words in rows(ROOT / "README.md", 2) if code.isdigit()}

    assert {str(int(code)): code.meaning for code in ExitCode} == listed


def test_every_variable_the_package_reads_is_in_the_reference():
    """Those that name a place of ours or of the application; not those of the system."""
    sources = "".join(
        path.read_text("utf-8") for path in sorted((ROOT / "newbi_migrate").rglob("*.py"))
    )
    names = r'"(MONGODB_URI|FRONTEND_URL|NEWBI_[A-Z_]+)"'

    assert set(re.findall(names, sources)) == set(ENVIRONMENT) - {"NO_COLOR"}


def test_every_check_of_doctor_and_every_step_of_smoke_is_on_the_page():
    """With what it is about, and each trace with the words that are printed."""
    page = REFERENCE / "checks.md"
    ids = set()
    for path in sorted((ROOT / "newbi_migrate" / "migration" / "doctor").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Check"
            if called and isinstance(node.args[0], ast.Constant):
                ids.add(node.args[0].value)
    first = in_code(cells[0] for cells in rows(page, 2) + rows(page, 3))
    traces = [[f"`leftover-{trace.id}`", trace.phrase, trace.remedy] for trace in TRACES]

    assert ids | {f"leftover-{trace.id}" for trace in TRACES} | set(STEPS) == first
    assert traces == [row for row in rows(page, 3) if row in traces]


def test_every_rule_a_validator_cannot_say_is_on_its_page():
    """Neither more nor fewer than the models leave out."""
    page = ROOT / "docs" / "how-to" / "validators.md"
    not_said = {rule.id for model in models_of().values() for rule in rules_left_out(model)}
    listed = in_code(cells[0] for cells in rows(page, 2))

    assert not_said == {name for name in listed if name != "organization.metadata"}
