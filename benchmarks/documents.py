"""How many invoices a second are made, checked, read and served, beside plain pydantic and Beanie.

    python benchmarks/documents.py --documents 4000

The plain document has the same fields with the types alone. What counts is the processor's time of
this process, so that other work of the machine matters little; all ways are measured in turns, and
the best of several counts.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import beanie
from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field, create_model
from pymongo import AsyncMongoClient

from newbi_migrate.demo.legacy import LegacyDatabase
from newbi_migrate.documents import Invoice, init_documents
from newbi_migrate.documents.billing import Invoice as Plain
from newbi_migrate.documents.shapes import Embedded, ListOf, fields_of, without_null
from newbi_migrate.testing import EmbeddedMongod


def valid_invoice() -> dict[str, Any]:
    """One of the made-up invoices, of some three kilobytes, that keeps every rule."""
    for document in LegacyDatabase(seed=1, users=50).documents("invoices"):
        found = {**document, "workspaceId": ObjectId()}
        if not Plain.violations_of(found):
            return found
    raise SystemExit("No made-up invoice keeps every rule.")


_TYPES: dict[Any, Any] = {
    str: str,
    bool: bool,
    int: float,
    datetime: datetime,
    ObjectId: PydanticObjectId,
}


def bare(model: type[BaseModel], base: type[BaseModel]) -> type[BaseModel]:
    """A model with the same fields, and types without rules."""
    fields: dict[str, Any] = {}
    for key, shape in fields_of(model).items():
        value = without_null(shape.value)
        kind: Any = Any
        if isinstance(value, Embedded):
            kind = bare(value.model, BaseModel)
        elif isinstance(value, ListOf) and isinstance(value.element, Embedded):
            kind = list[bare(value.element.model, BaseModel)]  # type: ignore[misc]
        else:
            choices = getattr(value, "choices", None)
            kind = _TYPES.get(choices[0].kind, Any) if choices else Any
        if not (base is not BaseModel and shape.name == "id"):
            fields[shape.name] = (kind | None, Field(default=None, alias=key))
    made: type[BaseModel] = create_model(f"Bare{model.__name__}", __base__=base, **fields)
    return made


class BareDocument(beanie.Document):
    """A document as Beanie has it."""

    model_config = ConfigDict(populate_by_name=True, arbitrary_types_allowed=True)
    id: PydanticObjectId | None = Field(default=None, alias="_id")

    class Settings:
        """The collection."""

        name = "invoices"


def rate(work: Callable[[], object], seconds: float = 0.3) -> float:
    """How often a second."""
    count, begun, now = 0, time.process_time(), 0.0
    while now < begun + seconds:
        for _ in range(50):  # a look at the clock takes some hundredths of the work
            work()
        count += 50
        now = time.process_time()
    return count / (now - begun)


async def reading(documents: int, repeats: int) -> dict[str, float]:
    """Documents a second that Beanie reads: ours, and plain ones of the same fields."""
    best: dict[str, float] = {}
    with EmbeddedMongod() as server:
        async with AsyncMongoClient[dict[str, Any]](server.uri) as client:
            database = client["newbi"]
            sample = valid_invoice()
            await database["invoices"].insert_many(
                [{**sample, "_id": ObjectId()} for _ in range(documents)]
            )
            plain: Any = bare(Plain, BareDocument)
            await init_documents(database, Invoice)
            await beanie.init_beanie(database=database, document_models=[plain])
            ways: dict[str, Callable[[], Awaitable[Any]]] = {
                "the driver": lambda: database["invoices"].find().to_list(),
                "a plain Beanie document": lambda: plain.find_all().to_list(),
                "our document": lambda: Invoice.find_all().to_list(),
            }
            for _ in range(repeats):
                for name, way in ways.items():
                    begun = time.process_time()
                    found = await way()
                    speed = len(found) / (time.process_time() - begun)
                    best[name] = max(best.get(name, 0), speed)
    return best


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    document = valid_invoice()
    stored = Plain.load(document)
    text = Plain(**document).model_dump_json(by_alias=True)
    ways: dict[str, Callable[[], object]] = {
        "violations of a valid one": lambda: Plain.violations_of(document),
        "strict construction": lambda: Plain.model_validate(document),
        "from JSON": lambda: Plain.model_validate_json(text),
        "reading a stored one": lambda: Plain.load(document),
        "back to a document": stored.to_document,
        "to JSON": lambda: stored.model_dump_json(by_alias=True),
    }
    best: dict[str, float] = {}
    for _ in range(asked.repeats):
        for name, way in ways.items():
            best[name] = max(best.get(name, 0), rate(way))
    print(f"an invoice of {len(document['items'])} lines, a second, in one process")
    for name, speed in best.items():
        print(f"{name:<34}{speed:10,.0f}")
    read = asyncio.run(reading(asked.documents, asked.repeats))
    for name, speed in read.items():
        print(f"read with {name:<24}{speed:10,.0f}")
    share = read["our document"] / read["a plain Beanie document"]
    print(f"of what a plain document reads    {share:10.2f}")


if __name__ == "__main__":
    main()
