"""Proof that nothing, or only what was meant to, has changed in a database."""

from __future__ import annotations

from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from xxhash import xxh3_128_hexdigest

from newbi_migrate.store.raw import document_of, element

# An _id is decoded to be shown, and with it, by PyMongo, the whole document.
_RAW = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
_PLAIN = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_RUN_RECORDS = "newbi_migrate_"


def fingerprint(database, *, run_records=True):
    """Return what ``database`` holds, by collection: documents, indexes and options.

    Two fingerprints are equal when every byte of every document is, and every index and option.
    Documents are digests by ``_id`` in canonical Extended JSON; index specifications are text, so
    that the order of their keys counts. The natural order of documents does not count.

    Args:
        database: A synchronous PyMongo database.
        run_records: Whether collections whose name starts with ``newbi_migrate_`` count.
    """
    found = {}
    for info in database.list_collections():
        name = info["name"]
        if name.startswith("system.") or (not run_records and name.startswith(_RUN_RECORDS)):
            continue
        is_view = info["type"] == "view"
        found[name] = {
            "type": info["type"],
            "options": _text(info["options"]),
            "indexes": {} if is_view else _indexes(database[name]),
            "documents": {} if is_view else _documents(database[name]),
        }
    return dict(sorted(found.items()))


def changes(before, after):
    """Return one readable line for each difference between two fingerprints."""
    lines = []
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            lines.append(f"{name}: {'appeared' if name in after else 'disappeared'}")
            continue
        old, new = before[name], after[name]
        lines += [
            f"{name}: {part} changed" for part in ("type", "options") if old[part] != new[part]
        ]
        for part, one in (("indexes", "index"), ("documents", "document")):
            for key in sorted({*old[part], *new[part]}):
                was, became = old[part].get(key), new[part].get(key)
                if was != became:
                    how = "added" if was is None else "removed" if became is None else "changed"
                    lines.append(f"{name}: {one} {key} {how}")
    return lines


def _documents(collection):
    digests = {}
    for document in collection.with_options(codec_options=_RAW).find({}):
        # The id alone is decoded: other values may be none that Python can hold.
        identifier = document_of(("_id", *element(bytes(document.raw), "_id")))["_id"]
        digests[_text(identifier)] = xxh3_128_hexdigest(document.raw)
    return digests


def _indexes(collection):
    plain = collection.with_options(codec_options=_PLAIN)
    return {index["name"]: _text(index) for index in plain.list_indexes()}


def _text(value):
    if isinstance(value, int):
        return str(value)
    if isinstance(value, RawBSONDocument):
        return value.raw.hex()
    return json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)
