"""The demo: the first thing a newcomer sees, and a whole migration of a dirty database."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from pictures import RECORDING, stable
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError

from newbi_migrate import ExitCode

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-m", "newbi_migrate", "demo"]
SMALL = ("--users", "5", "--documents", "300", "--seed", "7", "--json")


def run_demo(folder, *options, **environment):
    variables = {**os.environ, "COLUMNS": "80", **environment}
    return subprocess.run(
        [*DEMO, *options],
        cwd=folder,
        env=variables,
        check=False,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=180,
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """What a newcomer sees."""
    # It must not even look at a database of the person's own.
    return run_demo(tmp_path_factory.mktemp("demo"), MONGODB_URI="mongodb://127.0.0.1:1/precious")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The same as JSON, of another size."""
    done = run_demo(tmp_path_factory.mktemp("demo"), *SMALL)
    return done.returncode, json.loads(done.stdout)


def test_the_demo_succeeds_and_touches_no_other_database(story):
    """It ends with 0 although some made-up documents are quarantined, which it explains."""
    assert (ExitCode.DONE, "precious" in story.stdout) == (story.returncode, False)
    assert "quarantined on purpose" in story.stdout


def test_the_demo_tells_the_whole_story_in_order(story):
    """What there is, the plan, the migration, one user, the status, again, back and forth."""
    assert list("1234567") == re.findall(r"^(\d)\. ", story.stdout, re.MULTILINE)
    again, _, back = story.stdout.partition("6. The same command again.")[2].partition("7. Back")
    assert "It wrote nothing" in again
    assert "to the last byte" in back


def test_the_demo_shows_where_a_users_fields_went(story):
    """Of one user: id, address, name and company, and where each stands afterwards."""
    part = story.stdout.partition("4. One user")[2].partition("5. How")[0]

    for path, target in (
        ("email", "user.email"),
        ("password", "account.password"),
        ("profile.firstName", "user.name"),
        ("company.name", "organization.name"),
    ):
        assert re.search(rf"^ {re.escape(path)} .*{re.escape(target)}", part, re.MULTILINE)
    assert re.search(r"^ workspaceId +\(not there\) +[0-9a-f]{24} *$", part, re.MULTILINE)
    assert "same to the byte" in part


def test_the_recording_in_the_documentation_is_what_the_demo_prints(story):
    """But for times and what is drawn at random."""
    assert stable(RECORDING.read_text("utf-8")) == stable(story.stdout), "Run: nox -s pictures"


def test_the_demo_shows_no_hash(story):
    """Not even a made-up hash is printed."""
    assert "$2" not in story.stdout + story.stderr


def test_the_demo_fits_on_80_columns(story):
    """No line is longer than a narrow terminal."""
    assert 80 >= max(len(line) for line in story.stdout.splitlines())


@pytest.mark.slow
def test_the_demo_as_json_conserves_users_and_documents(told):
    """Users in are users with an outcome; documents in are written, right or quarantined."""
    code, answer = told
    run = answer["run"]

    assert ExitCode.DONE == code
    assert answer["before"]["Users"] == sum(run["outcomes"].values())
    assert all(answer["before"][n] == c["documents"] for n, c in run["collections"].items())
    assert len(run["quarantine"]) == run["outcomes"]["quarantined"] + sum(
        c["quarantined"] for c in run["collections"].values()
    )


@pytest.mark.slow
def test_the_demo_as_json_says_that_the_second_run_wrote_nothing(told):
    """A second run over the dirtiest database has no id, for there was nothing to do."""
    _, answer = told

    assert None is answer["again"]["runId"]
    assert 5 == answer["again"]["exitCode"]


def test_the_demo_as_json_says_what_was_taken_back(told):
    """What the run created is what the rollback deleted, and nothing is in the way."""
    _, answer = told

    assert answer["run"]["created"] == answer["back"]["deleted"]
    assert (0, 0) == (answer["back"]["exitCode"], answer["back"]["conflictCount"])


@pytest.mark.slow
def test_the_demo_needs_nothing_but_what_the_wheel_holds(tmp_path):
    """Built, unpacked and started elsewhere, it finds all of its data; no test is in the wheel."""
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    (tmp_path / "elsewhere").mkdir()
    program = "import newbi_migrate.cli as cli, sys; sys.stderr.write(cli.__file__); cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "demo", *SMALL],
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=180,
    )

    assert (ExitCode.DONE, 5) == (done.returncode, json.loads(done.stdout)["again"]["exitCode"])
    assert done.stderr.startswith(str(installed))
    assert ["newbi_migrate", f"newbi_migrate-{version('newbi-migrate')}.dist-info"] == sorted(
        path.name for path in installed.iterdir()
    )


@pytest.mark.parametrize("options", [("--users", "0"), ("--documents", "0"), ("--seed", "x")])
def test_a_size_that_makes_no_sense_ends_with_2(quick, options):
    """One sentence, and no server is started."""
    answer = quick("demo", *options)

    assert ExitCode.USAGE == answer.code
    assert "Starting" not in answer.err


def test_without_a_server_to_run_the_demo_says_what_to_install(tmp_path):
    """Where no mongod runs, one sentence says how to get one."""
    done = run_demo(tmp_path, "--json", NEWBI_MONGOD="/no/such/mongod")

    assert ExitCode.UNREACHABLE == done.returncode
    assert {"error"} == json.loads(done.stdout).keys()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The same again with `--keep`: its answer, what the server held, and how it ended."""
    folder = tmp_path_factory.mktemp("kept")
    with (
        (folder / "answer.json").open("w", encoding="utf-8") as answer,
        subprocess.Popen(
            [*DEMO, *SMALL, "--keep"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process,
    ):
        uri = ""
        for line in process.stderr:
            if found := re.search(r"mongodb://[^\s']+", line):
                uri = found.group()
            if "Ctrl-C stops it" in line:
                break
        with MongoClient(uri, serverSelectionTimeoutMS=2000) as client:
            organizations = client.get_default_database()["organization"].count_documents({})
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    told = json.loads((folder / "answer.json").read_text("utf-8"))
    return process.returncode, told, organizations, uri


@pytest.mark.slow
def test_a_kept_server_answers_until_ctrl_c_and_is_gone_then(kept):
    """`--keep` prints a connection string that works, and Ctrl-C ends it with 0."""
    code, answer, organizations, uri = kept

    assert ExitCode.DONE == code
    assert answer["before"]["organization"] + answer["run"]["created"]["organization"] == (
        organizations
    )
    with (
        MongoClient(uri, serverSelectionTimeoutMS=200) as client,
        pytest.raises(ServerSelectionTimeoutError),
    ):
        client.admin.command("ping")


@pytest.mark.slow
def test_the_same_seed_makes_the_same_demo(told, kept):
    """What is created and quarantined depends on seed and size alone."""
    (_, first), (_, second, _, _) = told, kept

    assert first["before"] == second["before"]
    assert first["run"]["created"] == second["run"]["created"]
    assert sorted(map(str, first["run"]["quarantine"])) == sorted(
        map(str, second["run"]["quarantine"])
    )
