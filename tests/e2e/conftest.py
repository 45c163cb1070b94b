"""The command line as people run it, and a small legacy database to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from small_legacy import USERS, invoices, legacy_user


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON document on standard output; fails if there is more or none."""
        return json.loads(self.out)

    @property
    def sentence(self):
        """The sentence of the error on standard error."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")


def documented(arguments, answer):
    """The answer; fails where the manual does not say that the command may end so."""
    from newbi_migrate.cli.manual import MANUAL, codes

    command = str(arguments[0]) if arguments else ""
    if command in MANUAL:
        assert answer.code in codes(command), (command, answer.err)
    return answer


@pytest.fixture
def newbi(tmp_path, monkeypatch, uri):
    """Runs ``newbi-migrate`` in a process of its own, without a terminal, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, uri=uri, stdin=subprocess.DEVNULL, **environment):
        variables = {**os.environ, **environment}
        variables.pop("MONGODB_URI", None)
        if uri is not None:
            variables["MONGODB_URI"] = uri
        done = subprocess.run(
            [sys.executable, "-m", "newbi_migrate", *map(str, arguments)],
            check=False,
            capture_output=True,
            stdin=stdin,
            encoding="utf-8",
            errors="replace",
            env=variables,
            timeout=60,
        )
        return documented(arguments, Answer(done.returncode, done.stdout, done.stderr))

    return call


@pytest.fixture
def quick(tmp_path, monkeypatch, capfd, uri):
    """The same within this process, for what needs no process of its own."""
    from newbi_migrate.cli.app import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments, uri=uri):
        if uri is None:
            monkeypatch.delenv("MONGODB_URI", raising=False)
        else:
            monkeypatch.setenv("MONGODB_URI", uri)
        monkeypatch.setattr("sys.stdin", None)
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        seen = capfd.readouterr()
        return documented(arguments, Answer(code, seen.out, seen.err))

    return call


@pytest.fixture
def clean(sync_database):
    """Three users with five invoices each: nothing that has to be quarantined."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    for owner in USERS[:3]:
        sync_database["invoices"].insert_many(invoices(owner, 5))
    return sync_database


@pytest.fixture
def other(clean, servers):
    """Another database of the server, dropped afterwards."""
    name = f"{clean.name}_b"
    yield clean.client[name]
    servers.drop(name)


@pytest.fixture
def dirty(clean):
    """Beside these, two users with one e-mail, and five invoices of one of them."""
    clean["Users"].insert_many([legacy_user(3), legacy_user(4, email="JEANNE3@exemple.fr")])
    clean["invoices"].insert_many(invoices(USERS[3], 5))
    return clean
