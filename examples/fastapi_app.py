"""In a backend on FastAPI: routes that take and answer documents, each within one workspace.

    python examples/fastapi_app.py

It needs fastapi and httpx, which newbi-migrate[examples] brings, and runs on a database of its
own that is gone afterwards. `create_app` is what a backend would keep.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from bson import ObjectId
from fastapi import Depends, FastAPI, Header, HTTPException
from pymongo import AsyncMongoClient, MongoClient

from newbi_migrate import Migration
from newbi_migrate.demo import build_legacy_database
from newbi_migrate.documents import Invoice, Member, Product, init_documents
from newbi_migrate.testing import mongodb_server


async def membership(x_user: Annotated[str, Header()]) -> Member:
    """Who asks, and for which workspace; your own session check takes the header's place."""
    found = None
    if ObjectId.is_valid(x_user):
        found = await Member.find_one(Member.user_id == ObjectId(x_user))
    if found is None:
        raise HTTPException(403, "You are a member of no organization.")
    return found


Mine = Annotated[Member, Depends(membership)]


def create_app(database: Any) -> FastAPI:
    """The application on a database: PyMongo's with Beanie 2, Motor's with Beanie 1.30."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Builds no index and no collection.
        await init_documents(database, Invoice, Member, Product)
        yield

    app = FastAPI(title="Newbi", lifespan=lifespan)

    @app.get("/invoices")
    async def invoices(mine: Mine) -> list[Invoice]:
        # What breaks a rule is served like any other.
        return await Invoice.in_workspace(mine).to_list()

    @app.post("/invoices", status_code=201)
    async def add_invoice(invoice: Invoice, mine: Mine) -> Invoice:
        # What was served can be posted back. A body that breaks a rule never comes here: it is
        # answered with 422, path and rule. Whose it is the membership says, whatever the body says.
        invoice.id = None
        invoice.workspace_id = mine.organization_id
        invoice.created_by = mine.user_id
        return await invoice.insert()

    @app.get("/products")
    async def products(mine: Mine) -> list[Product]:
        return await Product.in_workspace(mine).to_list()

    return app


async def ask(uri: str) -> None:
    """Migrates a made-up database and asks the application as a browser would, in process."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database()
        async with Migration(database) as migration:
            await migration.apply()
        app = create_app(database)
        user = str((await database["member"].distinct("userId"))[0])
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=transport, base_url="http://newbi", headers={"X-User": user}
            ) as browser,
        ):
            served = (await browser.get("/invoices")).json()
            print(len(served), "invoices")
            body = {**served[0], "number": "2026-000042"}
            print((await browser.post("/invoices", json=body)).status_code)
            wrong = {**body, "dueDate": "2001-01-01T00:00:00Z"}
            for broken in (await browser.post("/invoices", json=wrong)).json()["detail"]:
                print(broken["loc"], broken["type"], broken["msg"])


if __name__ == "__main__":
    with mongodb_server() as own:
        with MongoClient[dict[str, Any]](own) as maker:
            build_legacy_database(
                maker.get_default_database(), seed=1, users=5, documents_per_user=60
            )
        asyncio.run(ask(own))
