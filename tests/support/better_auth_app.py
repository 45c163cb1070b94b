"""A real Better Auth application on a database, and a browser for it."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_packages import modules

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "better-auth-passwords.md"
VERSIONS = {
    "better-auth-1.3": "1.3.7",
    "better-auth-1.7.2": "1.7.2",
    "better-auth-newest": "newest",
}
"""Folder of the packages to the version of Better Auth among them."""
SERVER = ROOT / "tests" / "e2e" / "better_auth" / "server.mjs"


def documented(title):
    """The code block of the how-to page that has this title."""
    found = re.search(
        rf'^```js title="{re.escape(title)}"\n(.*?)^```$',
        HOW_TO.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"no block {title} in {HOW_TO.name}"
    return found.group(1)


@dataclass
class Application:
    """One that runs; ``log`` is what it has printed, once it has ended."""

    url: str
    log: str = ""


def prepare(packages, folder):
    """Puts the application, with the documented password.verify, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(SERVER, folder / "server.mjs")
    (folder / "password.mjs").write_text(documented("lib/password.mjs"), encoding="utf-8")
    link = folder / "node_modules"
    if not link.exists():
        link.symlink_to(modules(packages), target_is_directory=True)


def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def application(packages, uri, folder, *, verify=True, verified=False):
    """Starts the application and ends it; ``verify`` installs the documented password.verify."""
    prepare(packages, folder)
    port = free_port()
    settings = {
        "MONGODB_URI": uri,
        "PORT": str(port),
        "VERIFY": "yes" if verify else "no",
        "VERIFIED": "yes" if verified else "no",
        "NO_COLOR": "1",
    }
    log = folder / "application.log"
    with (
        log.open("wb") as complaints,
        subprocess.Popen(
            ["node", "server.mjs"],
            cwd=folder,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as process,
    ):
        running = Application(f"http://127.0.0.1:{port}")
        try:
            first = process.stdout.readline()
            assert first == b"ready\n", log.read_text(encoding="utf-8")
            yield running
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            running.log = log.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any

    @property
    def code(self):
        return self.body.get("code") if isinstance(self.body, dict) else None


class Browser:
    """Somebody at the application, with cookies of their own."""

    def __init__(self, app):
        self._url = app.url
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def get(self, path):
        return self._send(path, None)

    def post(self, path, **body):
        return self._send(path, body)

    def sign_in(self, email, password):
        return self.post("/sign-in/email", email=email, password=password)

    def _send(self, path, body):
        request = urllib.request.Request(
            f"{self._url}/api/auth{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Origin": self._url},
        )
        try:
            with self._opener.open(request, timeout=30) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        return Reply(status, json.loads(text) if text else None)
