"""A database with every kind of collection there is, and dumps written by the rules of mongodump.

What is written here is written from the format's description, not by the code under test.
"""

from __future__ import annotations

import gzip
import struct
from datetime import datetime, timedelta
from urllib.parse import quote_plus

from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    json_util,
)
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING, TEXT

DAY = datetime(2024, 3, 5, 12, 30)  # noqa: DTZ001  # as PyMongo gives dates back
FIRST = ObjectId("64b000000000000000000000")


def every_type():
    """A document with a value of each BSON type, also of those no driver writes any more."""
    return {
        "_id": FIRST,
        "double": 1.0,
        "nan": float("nan"),
        "infinity": float("-inf"),
        "text": "Été à l'œuvre \u2028 €",
        "nested": {"b": 1, "a": {"z": [], "y": {}}},
        "array": [1, 2.0, None, "x", [Int64(3)]],
        "binary": Binary(b"\0\1\2", 0),
        "uuid": Binary(bytes(range(16)), 4),
        "old": Binary(b"x", 2),
        "id": ObjectId("64b0000000000000000000ff"),
        "true": True,
        "date": DAY,
        "null": None,
        "regex": Regex("^a.*", "im"),
        "code": Code("function () {}"),
        "scoped": Code("f", {"x": 1}),
        "int32": 5,
        "int64": Int64(5),
        "timestamp": Timestamp(1_700_000_000, 7),
        "decimal": Decimal128("1.500"),
        "min": MinKey(),
        "max": MaxKey(),
        "reference": DBRef("clients", FIRST, "autre"),
        "workspaceId": None,
    }


def undecoded():
    """Documents no driver would write: undefined, symbol, DBPointer, far dates, bad UTF-8."""

    def document(number, kind, name, value):
        body = b"\x10_id\0" + struct.pack("<i", number)
        body += bytes([kind]) + name.encode() + b"\0" + value
        return RawBSONDocument(struct.pack("<i", len(body) + 5) + body + b"\0")

    return [
        document(1, 0x06, "undefined", b""),
        document(2, 0x0E, "symbol", struct.pack("<i", 4) + b"abc\0"),
        document(3, 0x0C, "pointer", struct.pack("<i", 2) + b"c\0" + bytes(12)),
        document(4, 0x09, "far", struct.pack("<q", -(2**62))),
        document(5, 0x02, "latin", struct.pack("<i", 3) + b"\xe9t\0"),
        document(6, 0x13, "nan", bytes(15) + b"\x7c"),
    ]


def fill(database, *, records=40):
    """Every kind of collection, option and index."""
    database["types"].insert_one(every_type())
    database["undecoded"].insert_many(undecoded())
    database["Users"].insert_many(
        [{"_id": ObjectId(), "email": f"élodie{n}@exemple.fr", "n": n} for n in range(records)]
    )
    database["invoices"].insert_many(
        [{"number": f"{n:06d}", "createdBy": FIRST, "total": n * 1.5} for n in range(records)]
    )
    invoices = database["invoices"]
    invoices.create_index([("number", ASCENDING), ("createdBy", DESCENDING)], unique=True)
    invoices.create_index("total", sparse=True, name="épars")
    invoices.create_index("paidAt", expireAfterSeconds=10**8)
    invoices.create_index([("title", TEXT), ("notes", TEXT)], weights={"title": 5})
    invoices.create_index(
        "vat", partialFilterExpression={"vat": {"$type": "string"}}, unique=True, background=True
    )
    invoices.create_index([("place", "2dsphere")])
    invoices.create_index([("$**", 1)], wildcardProjection={"secret": 0})
    invoices.create_index("label", collation={"locale": "fr", "strength": 1})
    database["dots.and spaces é+%/x"].insert_one({"_id": "é"})
    database["n" * 150 + "é" * 30].insert_one({"_id": 1})
    database.create_collection("empty")
    database.create_collection("capped", capped=True, size=4096, max=7)
    database["capped"].insert_many([{"_id": n} for n in (5, 1, 4, 2, 3, 9, 8, 7)])
    database.create_collection("collated", collation={"locale": "fr", "strength": 2})
    database["collated"].insert_one({"_id": "Étude"})
    database["strict"].insert_one({"_id": 1, "kept": "though the validator forbids it"})
    database.command(
        "collMod", "strict", validator={"n": {"$type": "int"}}, validationLevel="moderate"
    )
    database.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    database["clustered"].insert_one({"_id": 3})
    database.create_collection(
        "measures", timeseries={"timeField": "at", "metaField": "sensor", "granularity": "minutes"}
    )
    database["measures"].insert_many(
        [{"at": DAY + timedelta(minutes=n), "sensor": n % 3, "v": n} for n in range(30)]
    )
    database["measures"].create_index([("sensor", 1), ("at", -1)])
    database.create_collection(
        "paid", viewOn="invoices", pipeline=[{"$match": {"total": {"$gt": 10}}}]
    )
    database["newbi_migrate_runs"].insert_one({"_id": 1})


def without_names(print_):
    """A fingerprint without what names the server's own parts."""
    return {name: part for name, part in print_.items() if not name.startswith("system.")}


def metadata_of(database, info):
    """The text of a metadata file as mongodump writes it."""
    name = info["name"]
    body = {}
    if info["options"]:
        body["options"] = info["options"]
    indexes = [] if info["type"] == "view" else list(database[name].list_indexes())
    body["indexes"] = [dict(index) for index in indexes]
    if "uuid" in info["info"]:
        body["uuid"] = info["info"]["uuid"].hex()
    body |= {"collectionName": name, "type": info["type"]}
    return json_util.dumps(body, json_options=json_util.CANONICAL_JSON_OPTIONS)


def dumped_infos(database):
    return [i for i in database.list_collections() if not i["name"].startswith("system.")]


def raw_documents(database, name):
    return [bytes(b) for b in database[name].find_raw_batches({})]


def data_name(info):
    prefix = "system.buckets." if info["type"] == "timeseries" else ""
    return prefix + info["name"]


def write_mongodump(database, root, *, zipped):
    """A folder as ``mongodump [--gzip]`` leaves it; long names are left out."""
    folder = root / database.name
    folder.mkdir(parents=True)

    def write(name, data):
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, 6))
        else:
            (folder / name).write_bytes(data)

    for info in dumped_infos(database):
        if len(quote_plus(info["name"])) > 200:
            continue
        write(f"{quote_plus(info['name'])}.metadata.json", metadata_of(database, info).encode())
        if info["type"] != "view":
            name = data_name(info)
            write(f"{quote_plus(name)}.bson", b"".join(raw_documents(database, name)))
    return root
