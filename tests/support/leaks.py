"""Give the command line generated credentials wherever it takes something, and look for them.

``python tests/support/leaks.py 100000`` does so often and notes it; the suite a few hundred times.
Each connection string is made up, broken or put where it does not belong, and holds one text that
nothing else holds. Neither output, exit, file nor traceback may contain it.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path
from urllib.parse import quote, quote_plus

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from side_by_side import prove

from newbi_migrate.cli.app import run
from newbi_migrate.errors import NewbiMigrateError
from newbi_migrate.migration.facade import Migration, run_sync

# Nobody listens on port 1, and the driver is not to wait for that to change.
HOSTS = ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "127.0.0.1:port", "[::1]:1", "", "127.0.0.1:1/x"]
QUICK = "serverSelectionTimeoutMS=1&connectTimeoutMS=1"
AROUND = [
    "",
    "",
    "",
    "@",
    ":",
    "/",
    "?",
    "#",
    "%",
    "%4",
    "[",
    "]",
    "&",
    "=",
    ";",
    ",",
    " ",
    "é",
    "'",
]
AROUND += ['"', "\\", "$", "\n", "\t", "🙂", "<b>", "[red]", "\x1b[31m", "..", "//", "@@"]
SCHEMES = ["mongodb://"] * 6 + ["MongoDB://", "mongodb:/", "mongodb+srv://", "mongodb+srv:/"]
SECRET_OPTIONS = [
    *("tlsCertificateKeyFilePassword", "proxyPassword", "password", "pwd", "unknownOption"),
    *("authMechanismProperties=AWS_SESSION_TOKEN:", "authMechanismProperties=X:1,Y"),
]
COMMANDS = [
    ["status"],
    ["doctor"],
    ["plan", "--json"],
    ["migrate"],
    ["migrate", "--confirm", "--json"],
    ["backfill", "--confirm"],
    ["rollback", "--confirm"],
    ["validate"],
    ["finalize"],
    ["indexes"],
    ["unlock", "--confirm"],
    ["checklist"],
]
# A connection string as an argument, where something else belongs.
MISPLACED = [
    ["verify-backup", "{}"],
    ["restore", "{}"],
    ["restore", "--confirm", "{}"],
    ["backup", "--output-dir", "{}"],
    ["migrate", "--plan", "{}"],
    ["plan", "--output", "{}"],
    ["migrate", "--backup", "{}"],
    ["migrate", "--collections", "{}"],
    ["validate", "--report", "{}"],
    ["status", "--uri-file", "{}"],
    ["status", "{}"],
    ["{}"],
    ["--{}"],
    ["status", "--uri={}"],
    ["rollback", "--run", "{}"],
]


class Credential:
    """A connection string with a text in it that stands nowhere else."""

    def __init__(self, chance):
        self.core = f"tomate{chance.getrandbits(64):016x}"
        secret = f"{chance.choice(AROUND)}{self.core}{chance.choice(AROUND)}"
        encode = chance.choice([str, str, quote, quote_plus, partial(quote, safe="")])
        secret, scheme = encode(secret), chance.choice(SCHEMES)
        host = chance.choice(HOSTS)
        if "srv" in scheme:
            # A name that ends so is asked of no name server.
            host = "cluster.invalid"
        name = chance.choice(["/newbi", "/newbi", "", "/"])
        if chance.random() < 0.8:
            user = chance.choice(["al", "al", "", "a%20b", "a:b"])
            at = chance.choice(["@", "@", "@", "@", "%40", ""])
            self.uri = f"{scheme}{user}:{secret}{at}{host}{name}?{QUICK}"
        else:
            option = chance.choice(SECRET_OPTIONS)
            option += "" if option.endswith(":") else "="
            self.uri = f"{scheme}al:autre@{host}{name}?{QUICK}&{option}{secret}"
        if chance.random() < 0.1:
            self.uri = chance.choice([" ", "'", '"', "\ufeff", "MONGODB_URI="]) + self.uri


def attempt(seed, folder):
    """Give one credential away in one place; where it came out again, or nothing."""
    chance = random.Random(f"leaks {seed}")
    credential = Credential(chance)
    ways = [in_environment, in_file, in_dotenv, misplaced, in_a_call]
    way = chance.choice(ways)
    said = io.StringIO()
    before = set(folder.iterdir())
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            told = way(chance, credential, folder)
        except SystemExit as ended:
            told = repr(ended)
        except BaseException:  # noqa: BLE001  # whatever comes out of it is an output
            told = traceback.format_exc()
    written = ""
    for path in set(folder.iterdir()) - before:
        # What it was given is no output; a log or a report is.
        written += path.read_text("utf-8", "replace") if path.is_file() else str(path)
        if path.is_file():
            path.unlink()
    text = f"{said.getvalue()}{told}{written}"
    if credential.core not in text:
        return None
    at = text.index(credential.core)
    return f"seed {seed}, {way.__name__}: {text[max(0, at - 60) : at + 60]!r}"


def _command(chance, folder):
    log = ["--log-file", str(folder / "log.txt")] if chance.random() < 0.1 else []
    return [*chance.choice(COMMANDS), *log]


def in_environment(chance, credential, folder):
    os.environ["MONGODB_URI"] = credential.uri
    try:
        return run(_command(chance, folder))
    finally:
        del os.environ["MONGODB_URI"]


def in_file(chance, credential, folder):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(credential.uri)
        file.flush()
        return run([*_command(chance, folder), "--uri-file", file.name])


def in_dotenv(chance, credential, folder):
    with tempfile.TemporaryDirectory() as home, contextlib.chdir(home):
        mark = chance.choice(["", "'", '"'])
        Path(".env").write_text(f"MONGODB_URI={mark}{credential.uri}{mark}\n", encoding="utf-8")
        return run(_command(chance, folder))


def misplaced(chance, credential, folder):
    with tempfile.TemporaryDirectory() as home, contextlib.chdir(home):
        return run([part.format(credential.uri) for part in chance.choice(MISPLACED)])


def in_a_call(chance, credential, folder):
    async def look():
        async with Migration(credential.uri) as migration:
            return repr(migration) + repr(vars(migration)) + str(await migration.status())

    try:
        return run_sync(look())
    except NewbiMigrateError as error:
        return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def share(seeds):
    """Some attempts; what came out."""
    with tempfile.TemporaryDirectory() as folder:
        found = (attempt(seed, Path(folder)) for seed in seeds)
        return [line for line in found if line]


def main(count):
    """That many attempts, side by side; whether anything came out."""
    os.environ.pop("MONGODB_URI", None)
    kind = "credentials given away, none of which came out"
    return prove("leaks", kind, count, range(count), share, ("credentials", "came out"))


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["1000"])[0])))
