"""The examples: each runs as its first lines say, and shows what it promises."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import beanie
import pytest
from bson import ObjectId

from newbi_migrate import ExitCode
from newbi_migrate.documents.odm import Member, Product

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
HOW_TO = ROOT / "docs" / "how-to"
ON_MOTOR = hasattr(beanie.Document, "get_motor_collection")

beanie2 = pytest.mark.skipif(ON_MOTOR, reason="an example for Beanie 2; this is Beanie 1 on Motor")
beanie1 = pytest.mark.skipif(not ON_MOTOR, reason="an example for Beanie 1 on Motor; this is 2")
fastapi = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("fastapi", "httpx"))),
    reason="FastAPI or httpx is not installed: pip install 'newbi-migrate[examples]'",
)


def run_example(name, folder, **environment):
    """Runs an example in an empty folder; gives the lines it printed."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert [] == list(folder.iterdir())
    return done.stdout.splitlines()


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documentation_shows_the_examples_as_they_are():
    """Every example is included in a page by its path, and no page names another."""
    shown = {
        path
        for page in HOW_TO.glob("*.md")
        for path in re.findall(r'^--8<-- "(.+)"$', page.read_text("utf-8"), re.MULTILINE)
    }
    there = {str(path.relative_to(ROOT)) for path in EXAMPLES.glob("*.*")}

    assert there == shown


def test_a_program_surveys_plans_applies_and_follows_the_progress(tmp_path):
    """Phases are told as they begin, everybody gets an organization, and again changes nothing."""
    lines = run_example("migrate_from_python.py", tmp_path)

    assert "5 legacy users in users" == lines[0]
    assert any(line.startswith("  documents: ") for line in lines)
    assert any(line.startswith("5 organizations, ") for line in lines)
    assert "a second run was needed: False" == lines[-1]


@beanie2
def test_a_backend_on_beanie_2_uses_its_own_handle(tmp_path):
    """Migrated through the backend's database; read tolerantly, constructed strictly."""
    lines = run_example("backend_beanie2.py", tmp_path)

    assert "invoices of one workspace: 32" == lines[0]
    assert any(line.startswith("refused: ") and "price" in line for line in lines)
    assert lines[-1].startswith("products of the workspace, with the new one: ")


@beanie1
def test_a_backend_on_motor_uses_its_own_handle(tmp_path):
    """Migrated through Motor's database, which stays open; Beanie's documents are found."""
    assert ["organizations: 5", "invoices of one workspace: 32"] == run_example(
        "backend_motor.py", tmp_path
    )


def test_another_application_brings_its_own_registry(tmp_path):
    """Documents with ownerId get a tenantId, lines follow their order, as documented."""
    page = (HOW_TO / "own-registry.md").read_text("utf-8")
    documented = page.partition("```text\n")[2].partition("```")[0].splitlines()
    lines = run_example("own_registry.py", tmp_path)

    assert documented == lines
    assert "orders: 2 of 3 got a tenant" in lines


@fastapi
@beanie2
def test_the_application_runs_as_a_program(tmp_path):
    """It migrates, adds a product, refuses one that breaks a rule, and lists those of the user."""
    workspace, refusal, count = run_example("fastapi_app.py", tmp_path)

    assert ObjectId.is_valid(workspace)
    assert ["unitPrice"] == json.loads(refusal)["detail"][0]["path"]
    assert count.endswith(" products")


@pytest.fixture
async def backend(uri):
    """The example's application on an empty database, and a client that asks it."""
    import httpx

    if ON_MOTOR:
        from motor.motor_asyncio import AsyncIOMotorClient as Client
    else:
        from pymongo import AsyncMongoClient as Client
    client = Client(uri)
    app = load("fastapi_app").create_app(client.get_default_database())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://newbi") as asker,
    ):
        yield asker
    closing = client.close()
    if closing is not None:
        await closing


@fastapi
async def test_the_application_keeps_workspaces_apart(backend, sync_database):
    """A user sees the products of his workspace alone, and cannot write into another's."""
    users, organizations = [ObjectId(), ObjectId()], [ObjectId(), ObjectId()]
    for user, organization in zip(users, organizations, strict=True):
        sync_database[Member.collection_name].insert_one(
            {"userId": user, "organizationId": organization, "role": "owner"}
        )
    product = {"name": "Conseil", "unitPrice": 90, "vatRate": 20, "unit": "heure"}
    made = await backend.post(
        "/products",
        json={**product, "workspaceId": str(organizations[1])},
        headers={"X-User": str(users[0])},
    )
    seen = [
        (await backend.get("/products", headers={"X-User": str(user)})).json() for user in users
    ]
    stored = sync_database[Product.collection_name].find_one()

    assert 201 == made.status_code
    assert (organizations[0], users[0]) == (stored["workspaceId"], stored["createdBy"])
    assert [1, 0] == [len(products) for products in seen]
    assert (str(organizations[0]), "Conseil") == (seen[0][0]["workspaceId"], seen[0][0]["name"])


@fastapi
@pytest.mark.parametrize("user", ["", "nobody", "0" * 24])
async def test_the_application_lets_no_stranger_in(backend, user):
    """Who is a member of nothing gets 403, whatever he says he is."""
    answer = await backend.get("/products", headers={"X-User": user})

    assert 403 == answer.status_code


# -- the pipeline -----------------------------------------------------------------------------


@pytest.fixture
def pipeline(tmp_path, uri):
    """Runs a job of the pipeline in an empty folder, with the command of this Python first."""
    commands = Path(sys.executable).parent

    def job(name, uri=uri):
        done = subprocess.run(
            ["sh", EXAMPLES / "ci_pipeline.sh", name],
            cwd=tmp_path,
            env={
                **os.environ,
                "MONGODB_URI": uri,
                "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout.strip()

    return job


needs_sh = pytest.mark.skipif(shutil.which("sh") is None, reason="no sh on this machine")


@needs_sh
def test_the_pipeline_plans_then_does_what_was_planned(pipeline, clean, tmp_path):
    """The plan is kept and readable, the second job follows it, and both end with 0."""
    planned = pipeline("plan")
    before = clean["user"].count_documents({})
    plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))

    assert (ExitCode.DONE, "Ready: nothing is left out.") == planned
    assert (0, 15) == (before, plan["collections"]["invoices"]["stamped"])
    assert (ExitCode.DONE, "Done.") == pipeline("migrate")
    assert 3 == clean["user"].count_documents({})


@needs_sh
def test_the_pipeline_stops_where_a_person_has_to_look(pipeline, dirty):
    """What is left out, a database that moved on, and one that is not there: each has its code."""
    planned, _ = pipeline("plan")
    dirty["invoices"].insert_one({"createdBy": dirty["Users"].find_one()["_id"]})
    moved, words = pipeline("migrate")
    absent, _ = pipeline("plan", uri="mongodb://127.0.0.1:1/no?serverSelectionTimeoutMS=100")
    called_wrongly, _ = pipeline("destroy")

    assert ExitCode.QUARANTINED == planned
    assert (ExitCode.PENDING, True) == (moved, "moved on" in words)
    assert ExitCode.UNREACHABLE == absent
    assert ExitCode.USAGE == called_wrongly
