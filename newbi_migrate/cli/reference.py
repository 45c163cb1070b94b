"""The page of documentation on the command line: ``python -m newbi_migrate.cli.reference > FILE``.

Typer writes what the commands declare; their exit codes and examples come from the manual.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.cli import get_docs_for_click

from newbi_migrate.cli.app import app
from newbi_migrate.cli.manual import ANY_COMMAND, ENVIRONMENT, MANUAL
from newbi_migrate.errors import ExitCode

__all__ = ["cli_page", "main"]

_INTRODUCTION: Final = """\
# Command line

<!-- Written by `python -m newbi_migrate.cli.reference`; changes made here are lost. -->

```text
newbi-migrate COMMAND [OPTIONS]
```

Results go to standard output, messages and progress to standard error. No output holds an e-mail, a
name, a hash or a password: documents are named by collection and `_id`. Only [reports](reports.md)
show e-mails, masked unless you ask for them in full. With `--json` the answer, and an error too,
is [one JSON document](json.md).

At a terminal a command that writes says what it is going to do and asks for the database's name to
be typed. If the database has changed by then, it writes nothing. Without a terminal it needs
`--confirm`, and says so before it connects. With `--confirm` it does what the database gives at
that moment, and compares nothing with an earlier `--dry-run`; only `migrate --plan` does exactly
what was reviewed. [Operate a run](../how-to/operate-a-run.md) says how a run is confirmed, watched,
slowed down and stopped, and [Troubleshooting](../troubleshooting.md) what to do with each exit
code.

`newbi-migrate --install-completion` has the shell complete commands and options, and
`--show-completion` prints the script that does it:
[complete commands in the shell](../install.md#complete-commands-in-the-shell).

The connection string must name the database. It is taken from `--uri-file`, else from the
environment variable `MONGODB_URI`, else from the same name in a file `.env` in the working
directory.

An option that is given an empty text ends with 2: what a script's variable lacks is not taken for
the default.
"""


def cli_page() -> str:
    """The page, as Markdown."""
    return "\n".join(_lines()) + "\n"


def main() -> None:
    """Write the page to standard output, in UTF-8 whatever the terminal is."""
    sys.stdout.buffer.write(cli_page().encode())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "| command | what it does |"
    yield "|---|---|"
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="newbi-migrate")
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    for name, command in commands.items():
        yield _row(f"[`{name}`](#{name})", " ".join(command.help.split("\n\n")[0].split()))
    yield "\n## Exit codes\n"
    yield "| code | meaning |"
    yield "|---|---|"
    for code in ExitCode:
        yield _row(str(int(code)), code.meaning)
    anybody = ", ".join(str(int(code)) for code in ANY_COMMAND)
    yield f"\nAny command may end with {anybody}; what else it may end with stands below it."
    yield "\n## Environment\n"
    yield "| variable | what it holds |"
    yield "|---|---|"
    for variable, holds in ENVIRONMENT.items():
        yield _row(f"`{variable}`", holds)
    for name, command in commands.items():
        yield from _command(name, command, context)


def _command(name: str, command: Any, context: Any) -> Iterator[str]:
    # What the terminal shows below the options stands in tables here.
    command.epilog = None
    written = get_docs_for_click(
        obj=command, ctx=context, indent=1, call_prefix="newbi-migrate", title=name
    )
    # What is printed at the terminal has no marks of emphasis in it.
    yield "\n" + written.replace("***", "\\*\\*\\*").rstrip()
    yield "\n| code | when |"
    yield "|---|---|"
    for code, when in sorted(MANUAL[name].endings.items()):
        yield _row(str(int(code)), when)
    yield "\n```console"
    for line, purpose in MANUAL[name].examples.items():
        yield f"# {purpose}"
        yield line
    yield "```"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
