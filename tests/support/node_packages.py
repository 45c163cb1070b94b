"""Packages of npm for tests, installed once for a machine, and the programs that use them.

The packages and their exact versions are in the folder ``packages`` beside the tests; what npm
installs goes to the user's cache, never into this repository.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[1] / "e2e" / "better_auth" / "packages"
_OLDEST_NODE = 20
_NPM_SECONDS = 240


def modules(name):
    """The ``node_modules`` with the packages of one folder; skips the test where npm cannot."""
    home, reason = _installed(name)
    if reason:
        pytest.skip(reason)
    return home / "node_modules"


@functools.cache
def _installed(name):
    """Where the packages are, or why they are not; npm is asked once, however many tests ask."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None, "Node.js and npm are not installed"
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    major = int(version.lstrip("v").split(".")[0])
    if major < _OLDEST_NODE:
        return None, f"Node.js {version.strip()} is older than {_OLDEST_NODE}"
    pinned = hashlib.sha256()
    for file in ("package.json", "package-lock.json"):
        pinned.update((PACKAGES / name / file).read_bytes())
    home = _cache() / f"{name}-node{major}-{pinned.hexdigest()[:16]}"
    return home, "" if home.is_dir() else _install(npm, name, home)


def _cache():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "newbi-migrate-tests" / "node"


def _install(npm, name, home):
    home.parent.mkdir(parents=True, exist_ok=True)
    # Elsewhere first, so that what has the final name is complete, whoever was quicker.
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="installing-") as folder:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(PACKAGES / name / file, folder)
        command = [npm, "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
        command += ["--fetch-retries=1", "--fetch-timeout=20000", "--prefer-offline"]
        try:
            done = subprocess.run(
                command, check=False, cwd=folder, capture_output=True, timeout=_NPM_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"npm did not install {name} in {_NPM_SECONDS} s"
        if done.returncode:
            return f"npm could not install {name}: is the network there?"
        with contextlib.suppress(OSError):
            Path(folder).rename(home)
            # What the context manager is going to remove.
            Path(folder).mkdir()
    return ""
