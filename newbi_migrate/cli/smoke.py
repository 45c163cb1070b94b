"""``newbi-migrate smoke``."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.next_steps import after_smoke
from newbi_migrate.cli.running import say
from newbi_migrate.errors import ExitCode, UsageError
from newbi_migrate.local_files import opened_for

if TYPE_CHECKING:
    from newbi_migrate.smoke import SmokeResult

__all__ = ["smoke"]

_URL = "FRONTEND_URL"
_EMAIL = "NEWBI_SMOKE_EMAIL"
_PASSWORD = "NEWBI_SMOKE_PASSWORD"  # noqa: S105  # the name of a variable


def smoke(
    *,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help=f"Address of the application; otherwise {_URL} from the environment or from .env.",
        ),
    ] = None,
    email: Annotated[
        str | None,
        typer.Option(
            "--email",
            metavar="EMAIL",
            help=f"E-mail of a migrated user you know the password of; otherwise {_EMAIL}.",
        ),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            help=f"File that holds the password and nothing else; otherwise {_PASSWORD} from the "
            "environment is used, or it is asked for.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Longest wait for an answer."),
    ] = 15.0,
    allow_http: Annotated[
        bool,
        typer.Option("--allow-http", help="Send the password unencrypted to another machine."),
    ] = False,
    call: opt.Answering,
) -> None:
    """Sign in to the real application as a migrated user; needs no database.

    It does what a browser does: a wrong password is refused, the right one accepted, the user sees
    their organization, can make it active, is its owner, and can sign out. The password is never
    an argument, and nothing else is changed.
    """
    with call.session("smoke") as session:
        from newbi_migrate.answers import answer
        from newbi_migrate.report.checks import checks_document
        from newbi_migrate.smoke import smoke as take_all_steps
        from newbi_migrate.store.uri import from_dotenv

        address = url or os.environ.get(_URL, "").strip()
        if not address:
            address = from_dotenv(Path(".env"), _URL, advice="Give the address with --url.")
        user = email or os.environ.get(_EMAIL, "").strip()
        if not address:
            raise UsageError(
                "The address of the application is not known.",
                next_step=f"Give it with --url, or set {_URL} in the environment or in .env.",
            )
        if not user:
            raise UsageError(
                "It is not known whom to sign in.",
                next_step=f"Give --email or set {_EMAIL}: a migrated user you know.",
            )
        found: SmokeResult = take_all_steps(
            address, user, _password(password_file), timeout=timeout, allow_http=allow_http
        )
        following = after_smoke() if found.exit_code is ExitCode.DONE else ""
        document = checks_document(
            "smoke",
            found.application,
            f"Signing in to {found.application}",
            found.checks,
            found.exit_code,
            value=lambda: answer(found),
            next_command=following,
        )
        if found.failed:
            document = replace(document, summary=(f"The step {found.failed} failed.",))
        session.finish(document)


def _password(file: Path | None) -> str:
    """The password, from the first place that has one; never from an argument.

    Raises:
        UsageError: No place has one, or the file is empty.
        LocalFileError: The file cannot be read.
    """
    if file is not None:
        from newbi_migrate.store.uri import readable_by_others

        with opened_for("read", file, next_step="Name a file with one line in it."):
            # Blanks belong to a password; the end of the line does not.
            password = file.read_text(encoding="utf-8-sig").rstrip("\r\n")
            for note in readable_by_others(file):
                say(f"note: {note}")
        if not password:
            raise UsageError(f"{str(file)!r} is empty.", next_step="Write the password into it.")
    else:
        password = os.environ.get(_PASSWORD, "")
        if not password and sys.stdin is not None and sys.stdin.isatty():
            password = getpass.getpass("Password of the test user: ", stream=sys.stderr)
    if not password:
        raise UsageError(
            "There is no password, and no terminal to ask for one.",
            next_step=f"Set {_PASSWORD} in the environment, or name --password-file FILE.",
        )
    return password
