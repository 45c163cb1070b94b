"""The command line as a whole: its commands, and how it answers a call it cannot read.

A command is a function that takes its options and calls one use-case; adding one adds it to the
table here, and an entry to the manual.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import typer

from newbi_migrate.cli import (
    backup,
    checklist,
    demo,
    doctor,
    finalize,
    migrate,
    rehearse,
    restore,
    rollback,
    schema,
    smoke,
    status,
    validate,
)
from newbi_migrate.cli.manual import epilog
from newbi_migrate.cli.options import flat
from newbi_migrate.cli.running import say_failure
from newbi_migrate.errors import ExitCode

__all__ = ["app", "run"]

# Whatever the scheme, or without one, and also as a path that was made of it, with one slash; a
# connection string has secrets among its options as well.
_CREDENTIALS: Final = re.compile(
    r"(?is)[a-z][a-z0-9+.-]+:/+.*@|mongodb(\+srv)?:/|(^|=)[^\s/@:=]{2,}:[^@]+@"
)

app = typer.Typer(
    name="newbi-migrate",
    help="Takes Newbi's MongoDB from legacy users to organizations and workspaces, losing nothing.",
    epilog="Exit codes: " + "; ".join(f"{int(code)} {code.meaning}" for code in ExitCode) + ".",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "demo": demo.demo,
    "doctor": doctor.doctor,
    "backup": backup.backup,
    "verify-backup": backup.verify_backup,
    "restore": restore.restore,
    "rehearse": rehearse.rehearse,
    "plan": migrate.plan,
    "migrate": migrate.migrate,
    "backfill": migrate.backfill,
    "checklist": checklist.checklist,
    "status": status.status,
    "validate": validate.validate,
    "smoke": smoke.smoke,
    "rollback": rollback.rollback,
    "unlock": rollback.unlock,
    "indexes": finalize.indexes,
    "finalize": finalize.finalize,
    "schema": schema.schema,
}
for name, command in COMMANDS.items():
    app.command(name, epilog=epilog(name))(flat(command))


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"newbi-migrate {version('newbi-migrate')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        # Typer prints rich help itself and answers nothing.
        with contextlib.redirect_stdout(sys.stderr):
            print(context.get_help())
        raise typer.Exit(int(ExitCode.USAGE))


def run(arguments: Sequence[str]) -> int:
    """Carry a command out and return the exit code.

    Args:
        arguments: What stands after the program's name.
    """
    if any(_CREDENTIALS.search(argument) for argument in arguments):
        say_failure(
            "An argument holds a connection string or a password; it was not looked at.",
            "Others on this machine can see arguments: put the connection string into a file and "
            "name it with --uri-file FILE, and change the password if this was a real one.",
            ExitCode.USAGE,
            as_json="--json" in arguments,
        )
        return int(ExitCode.USAGE)
    try:
        code = app(args=list(arguments), prog_name="newbi-migrate", standalone_mode=False)
    except Exception as error:
        # Typer brings its own copy of Click or uses the installed one; only the form is common.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        context = getattr(error, "ctx", None)
        name = "newbi-migrate" if context is None else context.command_path
        say_failure(
            message(),
            f"{name} --help shows how it is called.",
            ExitCode.USAGE,
            as_json="--json" in arguments,
        )
        return int(ExitCode.USAGE)
    return code if isinstance(code, int) else int(ExitCode.DONE)
