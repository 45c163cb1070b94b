"""Copies of whole databases on one server."""

from __future__ import annotations

from bson import CodecOptions
from bson.raw_bson import RawBSONDocument


def copied(source, target):
    """Copies a database on the same server, documents in their raw bytes."""
    for info in source.list_collections():
        name = info["name"]
        target.create_collection(name, **info["options"])
        documents = list(source[name].with_options(CodecOptions(RawBSONDocument)).find())
        if documents:
            target[name].insert_many(documents, bypass_document_validation=True)
        indexes = [index for index in source[name].list_indexes() if index["name"] != "_id_"]
        if indexes:
            target.command("createIndexes", name, indexes=indexes)
