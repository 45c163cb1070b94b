"""The French guide, word for word: every block of commands, in order, on a legacy database."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import contextmanager

import pytest
from better_auth_app import ROOT, free_port, prepare
from dirty_people import password_of
from fingerprints import changes, fingerprint
from node_packages import modules
from pymongo import MongoClient

from newbi_migrate.demo import LegacyDatabase, build_legacy_database
from newbi_migrate.errors import ExitCode
from newbi_migrate.testing import EmbeddedMongod

pytestmark = [pytest.mark.node, pytest.mark.slow]

GUIDE = ROOT / "docs" / "fr" / "guide-de-migration.md"
SEED, USERS, DOCUMENTS = 5, 4, 20
TESTER = "compte-de-test@exemple.fr"
QUERIES = (
    "db.invoices.findOne({workspaceId: {$exists: true}}, {workspaceId: 1, createdBy: 1})",
    "db.quotes.findOne({workspaceId: {$exists: true}}, {workspaceId: 1, createdBy: 1})",
    "db.invoices.countDocuments({workspaceId: null})",
    "db.quotes.countDocuments({workspaceId: null})",
    'from: "member", localField: "_id", foreignField: "organizationId", as: "members"',
    "{$match: {members: {$size: 0}}}",
)
# What a real application makes for itself, and no run ever touches.
ITS_OWN = {"session", "jwks", "verification", "twoFactor", "invitation"}

# What a new terminal is told again.
AGAIN = "SAUVEGARDE=$(ls -d sauvegardes/avant-migration/backup_*)\n"
# Blocks of which the guide says that they end otherwise: what is run for them.
ENDING_OTHERWISE = {
    "tail -f migration.log\n": "timeout 2 tail -f migration.log || test $? -eq 124",
    f'{AGAIN}newbi-migrate verify-backup "$SAUVEGARDE" --compare\n': (
        f'{AGAIN}newbi-migrate verify-backup "$SAUVEGARDE" --compare || test $? -eq 3'
    ),
}

# A process manager in a few lines: the guide starts and stops the application with pm2.
PM2 = """#!/bin/sh
cd {folder}
case "$1" in
  start)
    export PORT={port} VERIFY=yes
    test -p open || mkfifo open
    # Open for writing too, so that it never ends; a closed one would end the application.
    node server.mjs <> open > log 2>&1 &
    echo $! > pid
    until grep -q ready log 2>/dev/null; do sleep 0.1; done ;;
  stop)
    test ! -f pid || kill "$(cat pid)"
    rm -f pid log ;;
esac
"""


def blocks(language):
    """The blocks of the guide in one language, as (title, text), in order."""
    found = re.findall(
        rf'^```{language}(?: title="([^"]*)")?\n(.*?)^```$',
        GUIDE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert found
    return found


def program(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@contextmanager
def workplace(folder, uri):
    """A folder with what the guide takes for granted, and a shell that remembers its variables."""
    tools, app = folder / "bin", folder / "app"
    tools.mkdir()
    prepare("better-auth-newest", app)
    port = free_port()
    shell = modules("mongosh") / "mongosh" / "bin" / "mongosh.js"
    python = shlex.quote(sys.executable)
    program(tools, "newbi-migrate", f'#!/bin/sh\nexec {python} -m newbi_migrate "$@"\n')
    program(tools, "mongosh", f'#!/bin/sh\nexec node {shlex.quote(str(shell))} --norc "$@"\n')
    program(tools, "pm2", PM2.format(port=port, folder=app))
    ((_, environment),) = blocks("env")
    environment = re.sub("MONGODB_URI='.*'", f"MONGODB_URI='{uri}'", environment)
    environment = re.sub(
        "FRONTEND_URL='.*'", f"FRONTEND_URL='http://127.0.0.1:{port}'", environment
    )
    work = folder / "work"
    work.mkdir()
    (work / ".env").write_text(environment, encoding="utf-8")
    (work / ".env").chmod(0o600)
    variables = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    variables |= {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),  # where mongosh keeps its history
        "NO_COLOR": "1",
    }
    memory = folder / "variables"
    memory.touch()

    def run(text):
        # The application's manager has the same environment as in production.
        script = (
            f"set -a; . {memory}; . ./.env; set +a; set -euo pipefail\n{text}\n"
            f"declare -p SAUVEGARDE > {memory} 2>/dev/null || true\n"
        )
        # Files, for the application goes on holding what it was started with.
        out, err = folder / "out", folder / "err"
        with out.open("wb") as said, err.open("wb") as complained:
            done = subprocess.run(
                ["bash", "-c", script],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                cwd=work,
                env=variables,
                timeout=300,
            )
        told = out.read_text(encoding="utf-8")
        assert done.returncode == 0, f"{text}\n{told}\n{err.read_text(encoding='utf-8')}"
        return told

    try:
        yield run
    finally:
        subprocess.run([tools / "pm2", "stop"], check=False, timeout=10)


@pytest.mark.timeout(900)
def test_every_command_of_the_guide_does_what_the_guide_says(tmp_path):
    """Each block ends with 0, and after the rollback the database is what it was, to the byte.

    That the restored backup is too, its own `verify-backup --compare` says.
    """
    modules("mongosh")
    with EmbeddedMongod(replica_set=True) as server:
        uri = server.uri_for("newbi")
        with MongoClient(uri) as client:
            database = client["newbi"]
            legacy = LegacyDatabase(SEED, USERS, DOCUMENTS)
            build_legacy_database(
                database, seed=SEED, users=USERS, documents_per_user=DOCUMENTS, source="Users"
            )
            first = legacy.users[0]
            database["Users"].update_one({"_id": first["_id"]}, {"$set": {"email": TESTER}})
            before = fingerprint(database)
        said = {}
        with workplace(tmp_path, uri) as run:
            password = tmp_path / "work" / "mot-de-passe.txt"
            password.write_text(password_of(first), encoding="utf-8")
            for position, (_, text) in enumerate(blocks("bash")):
                if "rollback --all" in text or 'echo "$SAUVEGARDE"' in text:
                    # Days later the terminal is another.
                    (tmp_path / "variables").write_text("")
                said[position, text] = run(ENDING_OTHERWISE.get(text, text))
                if "rollback --all --confirm" in text:
                    after = state(uri)
        everything = "\n".join(said.values())

        assert [] == changes(before, after)
    for promise in ("All is well.", "The user signed out.", f"{USERS}\n"):
        assert promise in everything
    assert TESTER not in everything


def state(uri):
    """What the database holds beside run records and what the application makes for itself."""
    with MongoClient(uri) as client:
        found = fingerprint(client["newbi"], run_records=False)
    return {name: what for name, what in found.items() if name not in ITS_OWN}


def test_every_command_of_the_tool_that_an_operator_needs_is_in_the_guide():
    """A command that is added finds its place in the guide, or is named here with a reason."""
    import typer

    from newbi_migrate.cli.app import app

    elsewhere = {
        "demo",  # shows the tool, on a server of its own
        "indexes",  # finalize does it as well
        "schema",  # writes validators for a backend, and is no step of a migration
    }
    names = set(typer.main.get_command(app).commands) - elsewhere
    text = GUIDE.read_text(encoding="utf-8")

    assert set() == {name for name in names if f"`{name}`" not in text and f" {name} " not in text}


def test_the_guide_repeats_the_users_own_questions():
    """The verification and monitoring queries are the original ones, asked as `status` counts."""
    text = GUIDE.read_text(encoding="utf-8")

    for query in QUERIES:
        assert query in text


def test_the_guide_says_what_to_do_with_each_exit_code():
    """Each that is not 0 has a row, and 3 one for each of its causes."""
    text = GUIDE.read_text(encoding="utf-8").partition("\n## Dépannage\n")[2]
    listed = [int(code) for code in re.findall(r"^\| (\d+)[ ,]", text, re.MULTILINE)]

    assert sorted(set(ExitCode) - {ExitCode.DONE}) == sorted(set(listed))
    assert 1 < listed.count(ExitCode.PENDING)
