"""What the validator of a collection would say of documents before anything is written to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bson import encode
from pymongo.errors import OperationFailure

from newbi_migrate.errors import ExitCode
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.connection import SIMPLE_COLLATION
from newbi_migrate.store.faults import explanation
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.raw import OBJECT_ID, Element, one_of, with_values
from newbi_migrate.store.reading import MAX_IDS, chunks

__all__ = ["refused_with", "refuses"]


# A larger one is sent again and again, perhaps beside itself in one command.
_LARGEST: Final = 1 << 20


def refuses(info: CollectionInfo) -> bool:
    """Whether a collection has a validator that refuses documents, and that can be asked.

    One that only warns, or is off, refuses none; one of more than a megabyte is not asked.
    """
    options = info.options
    lenient = options.get("validationLevel") == "off" or options.get("validationAction") == "warn"
    validator: Mapping[str, Any] = options.get("validator") or {}
    return bool(validator) and not lenient and len(encode(validator)) <= _LARGEST


async def refused_with(
    collection: Collection,
    info: CollectionInfo,
    written: Iterable[tuple[Sequence[Any], Mapping[str, Element | None]]],
    *,
    comment: str,
) -> list[Any]:
    """Ids of documents that the collection's validator refuses with other values.

    Where a query cannot hold it, for it is nested too deeply or its schema encrypts, and where its
    expression fails on a document, the server says so only when it is written to: none is named.

    Args:
        collection: Where they are.
        info: The same collection; its validator :func:`refuses`.
        written: Ids of documents, and field to the value that they would get, ``None`` for none.
            One ObjectId stands for any other in the same field: a validator asks for the type.
        comment: Attached to every command.

    Raises:
        pymongo.errors.PyMongoError: The server failed.
    """
    alike: dict[tuple[tuple[str, Element | None], ...], list[Any]] = defaultdict(list)
    stages: dict[tuple[tuple[str, Element | None], ...], dict[str, Any]] = {}
    for ids, values in written:
        key = tuple((name, _form(value)) for name, value in values.items())
        alike[key] += ids
        stages.setdefault(key, with_values(values))
    validator = info.options["validator"]
    # A moderate one lets alone what broke it before.
    concerned = [validator] if info.options.get("validationLevel") == "moderate" else []
    found: list[Any] = []
    for key, every in alike.items():
        for some in chunks(every, MAX_IDS):
            pipeline = [
                {"$match": {"$and": [{"_id": one_of(some)}, *concerned]}},
                stages[key],
                {"$match": {"$nor": [validator]}},
                {"$project": {"_id": 1}},
            ]
            try:
                cursor = await collection.aggregate(
                    pipeline,
                    # It compares texts as its collection does; no two ids are equal by that.
                    collation=info.options.get("collation", SIMPLE_COLLATION),
                    comment=comment,
                )
                async with cursor:
                    found += [document["_id"] async for document in cursor]
            except OperationFailure as error:
                told = explanation(error, "asking a validator")
                if told is None or told.exit_code is not ExitCode.UNEXPECTED:
                    raise
    return found


def _form(value: Element | None) -> Element | None:
    return value if value is None or value[0] != OBJECT_ID else (OBJECT_ID, b"")
