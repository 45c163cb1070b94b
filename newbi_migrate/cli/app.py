"""The command line as a whole: its commands, and how it answers a call it cannot read.

A command is a function that takes its options and calls one use-case. It is called like the
command, and imported when that is asked for; the table here says from where.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from newbi_migrate.cli.manual import epilog
from newbi_migrate.cli.options import flat
from newbi_migrate.cli.running import say_failure
from newbi_migrate.cli.streams import answering
from newbi_migrate.errors import ExitCode, LocalFileError

__all__ = ["app", "run", "takes_connection_string"]

# Whatever the scheme, or without one, and also as a path that was made of it, with one slash; a
# connection string has secrets among its options as well.
_CREDENTIALS: Final = re.compile(
    # Each run of letters is looked at once, however long it is.
    r"(?is)(?<![a-z0-9+.-])[a-z0-9+.-]{2,}:/+.*@|mongodb(\+srv)?:/|(^|=)[^\s/@:=]{2,}:[^@]+@"
)
# Rich makes lines as wide as it is told to.
_WIDEST: Final = 1000

_MODULES: Final[Mapping[str, str]] = {
    "demo": "demo",
    "doctor": "doctor",
    "backup": "backup",
    "verify-backup": "backup",
    "restore": "restore",
    "drop-aside": "restore",
    "rehearse": "rehearse",
    "plan": "migrate",
    "migrate": "migrate",
    "backfill": "migrate",
    "checklist": "checklist",
    "status": "status",
    "validate": "validate",
    "smoke": "smoke",
    "rollback": "rollback",
    "unlock": "rollback",
    "indexes": "finalize",
    "finalize": "finalize",
    "schema": "schema",
}


class _Command(TyperCommand):
    """A command none of whose options may be given an empty text, nor what is no number.

    A variable of a script that holds nothing would otherwise mean "the usual one", or the folder
    one is in: a path that was made of it cannot be told from ``.`` any more. What is no number is
    neither below nor above any limit, and what is waited for endlessly never comes.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        options: list[Any] = self.get_params(ctx)
        for option in options:
            texts = given.get(option.name)
            if texts == "" or (isinstance(texts, list | tuple) and "" in texts):
                raise typer.BadParameter(
                    "it is empty; name something, or leave it out.", ctx=ctx, param=option
                )
        rest = super().parse_args(ctx, args)
        for option in options:
            number = ctx.params.get(option.name)
            if isinstance(number, float) and not math.isfinite(number):
                raise typer.BadParameter(f"{number} is no number.", ctx=ctx, param=option)
        return rest


class _Commands(Mapping[str, Any]):
    """The commands by name, each made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        module = import_module(f"newbi_migrate.cli.{_MODULES[name]}")
        alone = typer.Typer(add_completion=False)
        command = getattr(module, name.replace("-", "_"))
        # Typer would keep the line breaks of all but the first paragraph, whatever the terminal.
        paragraphs = (" ".join(part.split()) for part in (command.__doc__ or "").split("\n\n"))
        made = alone.command(name, cls=_Command, help="\n\n".join(paragraphs), epilog=epilog(name))
        made(flat(command))
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # as Click calls it
        return list(self.commands)


app = typer.Typer(
    name="newbi-migrate",
    cls=_Group,
    help="Takes Newbi's MongoDB from legacy users to organizations and workspaces, losing nothing.",
    epilog="Exit codes: " + "; ".join(f"{int(code)} {code.meaning}" for code in ExitCode) + ".",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def takes_connection_string(name: str) -> bool:
    """Whether that is a command with a connection string."""
    return name in _MODULES and any(each.name == "uri_file" for each in _Commands()[name].params)


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
        # Typer prints rich help itself and answers nothing; Rich exits where nobody reads it.
        with (
            contextlib.suppress(OSError, SystemExit),
            contextlib.redirect_stdout(sys.stderr),
        ):
            print(context.get_help(), flush=True)
        raise typer.Exit(int(ExitCode.USAGE))


def run(arguments: Sequence[str]) -> int:
    """Carry a command out and return the exit code.

    Args:
        arguments: What stands after the program's name.
    """
    if (width := os.environ.get("COLUMNS", "")).isdecimal() and int(width[:9]) > _WIDEST:
        os.environ["COLUMNS"] = str(_WIDEST)
    if any(_CREDENTIALS.search(argument) for argument in arguments):
        say_failure(
            "An argument holds a connection string or a password; it was not looked at.",
            "Others on this machine can see arguments: put the connection string into a file and "
            "name it with --uri-file FILE, and change the password if this was a real one.",
            ExitCode.USAGE,
            as_json="--json" in arguments,
        )
        return int(ExitCode.USAGE)
    code: Any = None
    try:
        # Commands answer by themselves; this is for help and version.
        with answering():
            code = app(args=list(arguments), prog_name="newbi-migrate", standalone_mode=False)
    except SystemExit:
        # So Typer and Rich end where the reader of their help has gone.
        return int(ExitCode.DONE)
    except LocalFileError as error:
        say_failure(error.what, error.next_step, error.exit_code, as_json=False)
        return int(error.exit_code)
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
