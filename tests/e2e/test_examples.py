"""The examples: each runs as its first lines say, and shows what it promises."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import beanie
import pytest
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

from newbi_migrate import ExitCode
from newbi_migrate.documents import Member

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


@pytest.mark.slow
def test_a_program_surveys_plans_applies_and_follows_the_progress(tmp_path):
    """Phases are told as they begin, everybody gets an organization, and again changes nothing."""
    lines = run_example("migrate_from_python.py", tmp_path)

    assert "5 legacy users in users" in lines
    assert any(line.startswith("  documents: ") for line in lines)
    assert any(line.startswith("5 organizations, ") for line in lines)
    assert "a second run was needed: False" == lines[-1]


@pytest.mark.slow
@beanie2
def test_a_backend_on_beanie_2_uses_its_own_handle(tmp_path):
    """Migrated through the backend's database; read tolerantly, made and saved strictly."""
    lines = run_example("backend_beanie2.py", tmp_path)

    assert "indexes there: 10" == lines[0]
    assert "invoices of one workspace: 32" in lines
    assert any(line.startswith("refused: ") and "field.unknown" in line for line in lines)
    assert "not saved: number (invoice.number)" in lines
    assert lines[-1].startswith("invited until ")


@beanie1
def test_a_backend_on_motor_uses_its_own_handle(tmp_path):
    """Migrated through Motor's database, which stays open; Beanie's documents are found."""
    assert [
        "organizations: 5",
        "invoices of one workspace: 32",
        "indexes there: 8",
    ] == run_example("backend_motor.py", tmp_path)


@pytest.mark.slow
def test_another_application_brings_its_own_registry(tmp_path):
    """Documents with ownerId get a tenantId, lines follow their order, as documented."""
    page = (HOW_TO / "own-registry.md").read_text("utf-8")
    documented = page.partition("```text\n")[2].partition("```")[0].splitlines()
    lines = run_example("own_registry.py", tmp_path)

    assert documented == lines
    assert "orders: 2 of 3 got a tenant" in lines


@pytest.mark.slow
@fastapi
@beanie2
def test_the_application_runs_as_a_program(tmp_path):
    """It serves invoices, takes one back that it served, and refuses one that breaks a rule."""
    served, taken, refused = run_example("fastapi_app.py", tmp_path)

    assert ("32 invoices", "201") == (served, taken)
    assert refused.startswith("['body', 'dueDate'] invoice.due-date ")


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


ADDRESS = {"street": "1, rue de la Paix", "city": "Paris", "postalCode": "75002"}
INVOICE = {
    "issueDate": "2025-03-01T12:00:00Z",
    "items": [{"description": "Conseil", "quantity": 2, "unitPrice": 450.5, "vatRate": 20}],
    "companyInfo": {"name": "Atelier Zoé", "address": ADDRESS},
    "client": {
        "type": "INDIVIDUAL",
        "firstName": "Anne",
        "lastName": "Roy",
        "email": "anne@roy.fr",
        "address": ADDRESS,
    },
    "workspaceId": "64b0c0ffee0123456789abcd",
    "createdBy": "64b0c0ffee0123456789abcd",
}


@pytest.fixture
def people(sync_database):
    """Two members of two organizations: their headers, and the organizations."""
    users, organizations = [ObjectId(), ObjectId()], [ObjectId(), ObjectId()]
    for user, organization in zip(users, organizations, strict=True):
        sync_database[Member.collection_name].insert_one(
            {"userId": user, "organizationId": organization, "role": "owner"}
        )
    return [{"X-User": str(user)} for user in users], organizations


@fastapi
async def test_the_application_keeps_workspaces_apart(backend, sync_database, people):
    """Users see the invoices of their workspace alone, and cannot write into another's."""
    headers, organizations = people
    made = await backend.post("/invoices", json=INVOICE, headers=headers[0])
    seen = [(await backend.get("/invoices", headers=each)).json() for each in headers]
    stored = sync_database["invoices"].find_one()

    assert 201 == made.status_code
    assert (organizations[0], str(stored["createdBy"])) == (
        stored["workspaceId"],
        headers[0]["X-User"],
    )
    assert (datetime(2025, 3, 1, 12), 2025, int, float) == (  # noqa: DTZ001  # as PyMongo reads it
        stored["issueDate"],
        stored["issueYear"],
        type(stored["items"][0]["quantity"]),
        type(stored["items"][0]["unitPrice"]),
    )
    assert [1, 0] == [len(invoices) for invoices in seen]


def without_nulls(value):
    """A value as it was before what is absent was served as null."""
    if isinstance(value, dict):
        return {key: without_nulls(v) for key, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


@fastapi
async def test_what_was_served_can_be_posted_back(backend, people, sync_database):
    """Dates, ids and numbers come back as what they were, in what is embedded too."""
    headers, _ = people
    await backend.post("/invoices", json=INVOICE, headers=headers[0])
    (served,) = (await backend.get("/invoices", headers=headers[0])).json()
    again = await backend.post("/invoices", json=served, headers=headers[0])
    first, second = sync_database["invoices"].find({}, {"_id": 0})

    assert 201 == again.status_code
    assert first == without_nulls(second)


@fastapi
async def test_a_stored_invoice_is_served_whatever_it_holds(backend, people, sync_database):
    """One that breaks rules does not fail the list it is in."""
    headers, organizations = people
    wrong = {
        "workspaceId": organizations[0],
        "issueDate": datetime(2025, 1, 1, tzinfo=UTC),
        "dueDate": datetime(2001, 1, 1, tzinfo=UTC),
        "items": ["none", {"quantity": Decimal128("1.5")}],
        "client": {"email": 7, "address": [1]},
        "totalHT": float("nan"),
        "number": b"\xff",
        "more": {"unknown": ObjectId()},
        "executionDate": DatetimeMS(2**60),
    }
    sync_database["invoices"].insert_many([wrong, {"workspaceId": organizations[0]}])
    answer = await backend.get("/invoices", headers=headers[0])
    served, empty = answer.json()

    assert 200 == answer.status_code
    assert ("2001-01-01T00:00:00Z", 7) == (served["dueDate"], served["client"]["email"])
    assert (str(organizations[0]), "DRAFT") == (empty["workspaceId"], empty["status"])


@fastapi
@pytest.mark.parametrize(
    ("change", "path", "rule"),
    [
        ({"dueDate": "2001-01-01T00:00:00Z"}, ["dueDate"], "invoice.due-date"),
        ({"totalHT": "5"}, ["totalHT"], "field.number-min-0"),
        ({"workspaceId": "x"}, ["workspaceId"], "field.workspace-id"),
        ({"issueDate": 1700000000}, ["issueDate"], "field.date"),
        ({"dueDat": None}, ["dueDat"], "field.unknown"),
        ({"items": []}, ["items"], "billing.items"),
        ({"items": [{}]}, ["items", 0, "description"], "field.required"),
        ({"stored_as": {"a": 1}}, ["stored_as"], "field.unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_body_that_breaks_a_rule_is_answered_with_path_and_rule(
    backend, people, change, path, rule
):
    """422, and the value is not repeated."""
    headers, _ = people
    answer = await backend.post("/invoices", json={**INVOICE, **change}, headers=headers[0])
    detail = answer.json()["detail"]

    assert 422 == answer.status_code
    assert (["body", *path], rule) in [(each["loc"], each["type"]) for each in detail]
    assert [None] * len(detail) == [each.get("input") for each in detail]


@fastapi
async def test_openapi_says_what_the_routes_take_and_answer(backend):
    """Names of documents, text for ids and dates, and the sentences of the rules."""
    said = (await backend.get("/openapi.json")).json()["components"]["schemas"]
    taken = said.get("Invoice-Input", said.get("Invoice"))
    fields = taken["properties"]

    assert {"_id", "issueDate", "totalHT", "companyInfo", "__v"} <= fields.keys()
    assert {"stored_as", "\0stored"}.isdisjoint(fields)
    assert {"items", "client", "companyInfo", "workspaceId", "createdBy"} == set(taken["required"])
    assert "date-time" == fields["issueDate"]["format"]
    assert 1 == fields["items"]["minItems"]
    assert "The value is a French phone number" in str(said)


@fastapi
@pytest.mark.parametrize("user", ["", "nobody", "0" * 24])
async def test_the_application_lets_no_stranger_in(backend, user):
    """Who is a member of nothing gets 403, whatever the request says."""
    answer = await backend.get("/invoices", headers={"X-User": user})

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


@pytest.mark.slow
@needs_sh
def test_the_pipeline_plans_then_does_what_was_planned(pipeline, clean, tmp_path):
    """The plan is kept and readable, the second job follows it, and both end with 0."""
    planned = pipeline("plan")
    before = clean["user"].count_documents({})
    plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))

    assert (ExitCode.DONE, "Ready: nothing is quarantined.") == planned
    assert (0, 15) == (before, plan["collections"]["invoices"]["stamped"])
    assert (ExitCode.DONE, "Done.") == pipeline("migrate")
    assert 3 == clean["user"].count_documents({})


@pytest.mark.slow
@needs_sh
def test_the_pipeline_stops_where_a_person_has_to_look(pipeline, dirty):
    """Quarantine, a database that moved on, and one that is not there: each has its code."""
    planned, _ = pipeline("plan")
    dirty["invoices"].insert_one({"createdBy": dirty["Users"].find_one()["_id"]})
    moved, words = pipeline("migrate")
    absent, _ = pipeline("plan", uri="mongodb://127.0.0.1:1/no?serverSelectionTimeoutMS=100")
    called_wrongly, _ = pipeline("destroy")

    assert ExitCode.QUARANTINED == planned
    assert (ExitCode.PENDING, True) == (moved, "Not as planned" in words)
    assert ExitCode.UNREACHABLE == absent
    assert ExitCode.USAGE == called_wrongly
