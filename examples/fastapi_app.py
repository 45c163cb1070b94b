"""In a backend on FastAPI: routes that serve the new models, each within one workspace.

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
from pydantic import ValidationError
from pymongo import AsyncMongoClient

from newbi_migrate import Migration
from newbi_migrate.documents.odm import Member, Product, init_models
from newbi_migrate.testing import build_legacy_database_async, mongodb_server


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
        await init_models(database, Member, Product)  # builds no index and no collection
        yield

    app = FastAPI(title="Newbi", lifespan=lifespan)

    @app.get("/products")
    async def products(mine: Mine) -> list[Product]:
        return await Product.find(Product.workspace_id == mine.organization_id).to_list()

    @app.post("/products", status_code=201)
    async def add_product(body: dict[str, Any], mine: Mine) -> Product:
        # Workspace and owner come from the membership, whatever the body says.
        own = {"workspaceId": mine.organization_id, "createdBy": mine.user_id}
        try:
            product = Product(**{**body, **own})
        except ValidationError as error:
            broken = [{"path": each["loc"], "rule": each["msg"]} for each in error.errors()]
            raise HTTPException(422, broken) from None
        return await product.insert()

    return app


async def ask(uri: str) -> None:
    """Migrates a made-up database and asks the application as a browser would, in process."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database()
        await build_legacy_database_async(database, seed=1, users=5, documents_per_user=60)
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
            good = {"name": "Conseil", "unitPrice": 90, "vatRate": 20, "unit": "heure"}
            print((await browser.post("/products", json=good)).json()["workspaceId"])
            print((await browser.post("/products", json={**good, "unitPrice": -1})).text)
            print(len((await browser.get("/products")).json()), "products")


if __name__ == "__main__":
    with mongodb_server() as own:
        asyncio.run(ask(own))
