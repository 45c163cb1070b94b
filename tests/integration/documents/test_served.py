"""Routes of a backend on FastAPI: what is stored is served, and what was served comes back."""

from typing import Any

import httpx
import pytest
from bson import ObjectId
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings, strategies as st
from spoiled import has_no_text, spoiled_documents

from newbi_migrate.documents import ClientSnapshot, Item, billing, init_documents, odm
from newbi_migrate.testing import strategies

DOCUMENTS = {document.Settings.name: document for document in odm.DOCUMENTS}
drawn = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def backend():
    """An application with two routes for each document."""
    app = FastAPI()

    def add_routes(name, document):
        @app.get(f"/{name}")
        async def every() -> list[document]:
            return await document.find_all().to_list()

        @app.post(f"/{name}")
        async def add(body: document) -> document:
            body.id = None
            return await body.insert()

    for name, document in DOCUMENTS.items():
        add_routes(name, document)
    return app


@pytest.fixture
async def browser(host):
    await init_documents(host)
    transport = httpx.ASGITransport(app=backend())
    async with httpx.AsyncClient(transport=transport, base_url="http://newbi") as client:
        yield client


def collected(strategy):
    """What a strategy of a document draws, for documents of all kinds."""
    found = []

    @drawn
    @given(data=st.data())
    def collect(data):
        name = data.draw(st.sampled_from(sorted(DOCUMENTS)))
        found.append((name, {**data.draw(strategy(DOCUMENTS[name])), "_id": ObjectId()}))

    collect()
    return found


async def test_whatever_is_stored_is_served(browser, sync_database):
    """Documents of which each holds some odd value are answered in a list, without a warning."""
    broken = []
    for name, document in collected(spoiled_documents):
        sync_database[name].insert_one(document)

    for name, document in DOCUMENTS.items():
        answer = await browser.get(f"/{name}")
        stored = await document.find_all().to_list()
        broken += [violation for each in stored for violation in each.violations()]

        assert 200 == answer.status_code
        assert [str(each.id) for each in stored] == [each["_id"] for each in answer.json()]
    assert broken


def filled_in(before, after):
    """Whether nothing of a served document changed but that what was null was filled in."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(key == "_id" or filled_in(before[key], after[key]) for key in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(filled_in, before, after))
    return before in {None, after}


async def test_what_was_served_is_posted_back(browser, sync_database):
    """What keeps every rule is answered, taken back, and answered again as it was."""
    posted = 0
    for name, document in collected(strategies.documents):
        if has_no_text(document):
            continue
        sync_database[name].delete_many({})
        sync_database[name].insert_one(document)
        (served,) = (await browser.get(f"/{name}")).json()
        answer = await browser.post(f"/{name}", json=served)
        posted += 1

        assert 200 == answer.status_code, answer.text
        assert filled_in(served, answer.json())
    assert posted


@pytest.mark.parametrize(
    "spoil",
    [{"client": {"email": 7}}, {"items": [{"quantity": "two", "unit": None}, {}]}],
    ids=["client", "items"],
)
async def test_a_part_of_what_is_stored_is_served(spoil):
    """A route may answer with an embedded document, whatever it holds."""
    invoice = billing.Invoice.load(spoil)
    app = FastAPI()

    @app.get("/client")
    async def client() -> ClientSnapshot | None:
        return invoice.client

    @app.get("/items")
    async def items() -> list[Item] | None:
        return invoice.items

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://newbi") as browser:
        answers = [await browser.get(path) for path in ("/client", "/items")]

    assert [200, 200] == [answer.status_code for answer in answers]


@pytest.mark.parametrize("items", [[None], [None, {"quantity": 1}, 7, [{}]], 7, None, {"a": 1}])
async def test_a_list_that_may_hold_anything_says_so(items):
    """What is no embedded document is served where the route says that there may be such."""
    invoice = billing.Invoice.load({"items": items})
    whole = invoice.model_dump(mode="json", by_alias=True)
    app = FastAPI()

    @app.get("/items")
    async def every() -> list[Item | Any] | Any:
        return invoice.items

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://newbi") as browser:
        answer = await browser.get("/items")
    schema = app.openapi()["paths"]["/items"]["get"]["responses"]["200"]["content"]

    assert 200 == answer.status_code
    assert whole["items"] == answer.json()
    assert "#/components/schemas/Item" in str(schema)
