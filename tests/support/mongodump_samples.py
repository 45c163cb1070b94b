"""Folders of every kind that mongodump has written, each with what a restore is to make of it.

They are written from what the database tools' documentation and source say of the format, from 2.0
to 100.18; nothing here was made by the code under test.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote_plus

import bson
from bson import Binary, Int64, ObjectId, Timestamp

ID_INDEX = {"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}}, "name": "_id_"}
OLD_ID_INDEX = {"v": 1, "key": {"_id": 1}, "name": "_id_", "ns": "shop.x"}
LONG = "long" + "é" * 40  # six characters each in a file name


@dataclass(frozen=True)
class Wanted:
    """What comes of a restore.

    Attributes:
        documents: Number of documents of each collection.
        views: Names of views.
        indexes: Names of the indexes that are there afterwards, beside those on ``_id``.
        refused: Names of indexes that are listed as refused.
        notes: Parts of sentences that are said.
    """

    documents: dict
    views: tuple = ()
    indexes: tuple = ()
    refused: tuple = ()
    notes: tuple = ()


@dataclass(frozen=True)
class Refused:
    """A sentence instead of a restore, before anything is written."""

    code: int
    match: str


@dataclass
class Folder:
    """A folder that mongodump writes to."""

    path: Path
    zipped: bool = False

    def file(self, name, content):
        """Any file, compressed as all others are."""
        data = content.encode() if isinstance(content, str) else content
        path = self.path / (f"{name}.gz" if self.zipped else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if self.zipped else data)
        return path

    def documents(self, name, documents=({"_id": 1},)):
        return self.file(f"{name}.bson", b"".join(map(bson.encode, documents)))

    def metadata(self, name, body):
        return self.file(f"{name}.metadata.json", json.dumps(body))

    def collection(
        self, name="x", documents=({"_id": 1},), *, folder="shop", stem="", indexes=(), **more
    ):
        """A collection as 100.x writes it; ``more`` are further keys of its metadata."""
        stem = f"{folder}/{stem or quote_plus(name)}" if folder else stem or quote_plus(name)
        body = {"indexes": [ID_INDEX, *indexes], "uuid": "0" * 32, "collectionName": name}
        self.metadata(stem, {**body, "type": "collection", **more})
        self.documents(stem, documents)

    def old_collection(
        self, name="x", documents=({"_id": 1},), *, folder="shop", indexes=(), options=None
    ):
        """A collection as 2.4 to 4.2 wrote it: bare numbers, namespaces, no name."""
        body = {"options": options or {}, "indexes": [OLD_ID_INDEX, *indexes]}
        self.metadata(f"{folder}/{name}", body)
        self.documents(f"{folder}/{name}", documents)


def index(name, key, **options):
    """An index as 100.x writes it; whole numbers of ``key`` are int32."""
    keys = {k: {"$numberInt": str(v)} if isinstance(v, int) else v for k, v in key.items()}
    return {"v": {"$numberInt": "2"}, "key": keys, "name": name, **options}


def old_index(name, key, **options):
    return {"v": 1, "key": key, "name": name, "ns": "shop.x", **options}


def oplog(folder):
    entry = {"ts": Timestamp(1, 1), "op": "i", "ns": "shop.x", "o": {"_id": 9}}
    return folder.documents("oplog", [entry, entry])


def buckets(folder, stem):
    """One bucket of a time series, as the server's own collection holds it."""
    at = datetime(2024, 1, 1)  # noqa: DTZ001  # as PyMongo gives dates back
    times = {"0": at, "1": datetime(2024, 1, 1, 0, 0, 5)}  # noqa: DTZ001
    bucket = {
        "_id": ObjectId("6592008029a3d5a5a5a5a5a5"),
        "control": {
            "version": 1,
            "min": {"_id": ObjectId("0" * 24), "at": at, "v": 1},
            "max": {"_id": ObjectId("f" * 24), "at": times["1"], "v": 2},
        },
        "meta": 1,
        "data": {
            "_id": {"0": ObjectId("0" * 24), "1": ObjectId("f" * 24)},
            "at": times,
            "v": {"0": 1, "1": 2},
        },
    }
    folder.documents(stem, [bucket])


TIME_SERIES = {
    "options": {
        "timeseries": {
            "timeField": "at",
            "metaField": "sensor",
            "granularity": "seconds",
            "bucketMaxSpanSeconds": {"$numberInt": "3600"},
        }
    },
    "indexes": [index("sensor_1", {"sensor": 1})],
    "collectionName": "measures",
    "type": "timeseries",
}


def view(name, on, pipeline=()):
    return {
        "options": {"viewOn": on, "pipeline": list(pipeline)},
        "indexes": [],
        "collectionName": name,
        "type": "view",
    }


# -- each kind --------------------------------------------------------------------------------

SAMPLES = {}


def sample(wanted):
    def register(build):
        SAMPLES[build.__name__] = (build, wanted)
        return build

    return register


@sample(Wanted({"x": 1}))
def one_database(folder):
    folder.collection()
    folder.file("prelude.json", '{"ServerVersion":"7.0.16","ToolVersion":"100.11.0"}')


@sample(Wanted({"x": 1}))
def one_database_compressed(folder):
    folder.zipped = True
    folder.collection()
    folder.file("shop/prelude.json", '{"ServerVersion":"7.0.16","ToolVersion":"100.11.0"}')


@sample(Wanted({"x": 1, "y": 2}, indexes=("a_1",)))
def loose_files(folder):
    folder.collection(folder="", indexes=[index("a_1", {"a": 1})])
    folder.collection("y", [{"_id": 1}, {"_id": 2}], folder="")


@sample(Refused(2, "several databases: other, shop"))
def several_databases(folder):
    folder.collection()
    folder.collection(folder="other")


@sample(Wanted({"x": 1}))
def beside_the_servers_own(folder):
    folder.collection()
    folder.collection("system.version", folder="admin")
    folder.collection("image_collection", folder="config")


@sample(Refused(2, "of the server itself"))
def users_alone(folder):
    for name in ("system.users", "system.roles", "system.version"):
        folder.collection(name, folder="admin")


@sample(Wanted({"x": 1}, notes=("own, and not restored: system.profile, $admin.system.users",)))
def with_users_and_profile(folder):
    folder.collection()
    folder.documents("shop/$admin.system.users")
    folder.collection("system.profile")


@sample(Wanted({"x": 1, "system.js": 1}))
def with_functions(folder):
    folder.collection()
    folder.collection("system.js", [{"_id": "f", "value": 1}])


@sample(Wanted({"x": 1}, notes=("--oplog",)))
def with_oplog(folder):
    folder.collection()
    oplog(folder)
    folder.collection("system.version", folder="admin")


@sample(Refused(2, "an oplog and no collections"))
def oplog_alone(folder):
    oplog(folder)


@sample(Wanted({"oplog": 1}))
def a_collection_named_oplog(folder):
    folder.collection("oplog", folder="")


@sample(Wanted({"x": 1}, notes=("belong to no database: loose.bson",)))
def loose_file_beside_a_database(folder):
    folder.collection()
    folder.documents("loose")


@sample(Refused(2, "holds collections, and folders of databases beside them: shop"))
def collections_beside_a_database(folder):
    folder.collection()
    folder.collection("y", folder="")


@sample(Wanted({"x": 1}, notes=("not part of it: .DS_Store, ._x.bson, Thumbs.db, inner, x.txt",)))
def stray_files(folder):
    folder.collection()
    for name in (".DS_Store", "._x.bson", "Thumbs.db", "x.txt", "inner/y.bson"):
        folder.file(f"shop/{name}", b"\0\5\x16\7")


@sample(Refused(10, r"x\.bson\.gz: x\.bson is there as well"))
def plain_beside_compressed(folder):
    folder.collection()
    folder.zipped = True
    folder.documents("shop/x", [{"_id": 1}, {"_id": 2}])


@sample(Wanted({"x": 1, "y": 1}, indexes=("a_1",), notes=("metadata file", "not restored: y")))
def a_missing_metadata_file(folder):
    folder.collection(indexes=[index("a_1", {"a": 1})])
    folder.documents("shop/y")


@sample(Refused(10, r"x\.bson: it is missing"))
def a_missing_file_of_documents(folder):
    folder.collection()
    (folder.path / "shop" / "x.bson").unlink()


@sample(Refused(10, "y.metadata.json: it is not Extended JSON"))
def an_empty_metadata_file(folder):
    folder.collection()
    folder.collection("y")
    folder.file("shop/y.metadata.json", "")


@sample(Wanted({"x": 1}, indexes=("a_1",), notes=("system.indexes.bson",)))
def indexes_in_a_collection(folder):
    """As 2.0 wrote them."""
    folder.documents("x")
    found = [
        {"v": 1, "key": {"_id": 1}, "ns": "old.x", "name": "_id_"},
        {"v": 1, "key": {"a": 1}, "ns": "old.x", "name": "a_1", "unique": True},
    ]
    folder.documents("system.indexes", found)


@sample(Wanted({LONG: 1}))
def a_name_that_was_cut(folder):
    digest = base64.urlsafe_b64encode(hashlib.sha1(LONG.encode()).digest()).decode().rstrip("=")
    folder.collection(LONG, stem=f"{quote_plus(LONG)[:208]}%24{digest}")


@sample(Refused(10, "its name was cut, and no metadata file tells it whole"))
def a_name_that_was_cut_alone(folder):
    folder.documents(f"shop/{'n' * 208}%24{'h' * 27}")


@sample(Wanted(dict.fromkeys(["dots.and spaces é+%/x", "a:b*?", "é", "ÉÉ", "%41"], 1)))
def names_with_every_character(folder):
    for name in ("dots.and spaces é+%/x", "a:b*?", "é", "ÉÉ", "%41"):
        folder.collection(name)


@sample(Wanted({"a+b": 1}))
def a_name_that_was_not_escaped(folder):
    body = {"options": {}, "indexes": [{**OLD_ID_INDEX, "ns": "shop.a+b"}]}
    folder.metadata("shop/a+b", body)
    folder.documents("shop/a+b")


@sample(Refused(10, "its name is none that mongodump gives"))
def a_name_that_is_no_escape(folder):
    folder.documents("shop/100%")


@sample(Refused(10, "it says it is of the collection y"))
def a_file_that_was_renamed(folder):
    folder.collection("y", stem="x")


@sample(Wanted({"x": 1}, indexes=("a_1",)))
def old_options(folder):
    """As 2.x and 3.x wrote them: what ``create`` was called with, and what is gone by now."""
    options = {"create": "elsewhere", "temp": False, "autoIndexId": True}
    folder.old_collection(options=options, indexes=[old_index("a_1", {"a": 1.0}, background=True)])


@sample(Wanted({"x": 1}, indexes=("half",), refused=("safe", "zero", "true", "text", "v0")))
def legacy_indexes(folder):
    folder.old_collection(
        indexes=[
            old_index("safe", {"a": 1}, safe=True, w=1),
            old_index("zero", {"b": 0}),
            old_index("true", {"c": True}),
            old_index("text", {"d": "1"}),
            old_index("half", {"e": 0.5}),
            {**old_index("v0", {"f": 1}), "v": 0},
        ]
    )


@sample(Wanted({"x": 1}, indexes=("one",), refused=("hay", "same")))
def indexes_no_server_takes(folder):
    folder.collection(
        indexes=[
            index("hay", {"a": "geoHaystack", "b": 1}),
            index("one", {"c": 1}),
            index("same", {"c": 1}),
        ]
    )


@sample(Wanted({"x": 2}, refused=("a_1",)))
def a_unique_index_that_documents_break(folder):
    folder.collection(
        documents=[{"_id": 1, "a": 1}, {"_id": 2, "a": 1}],
        indexes=[index("a_1", {"a": 1}, unique=True)],
    )


@sample(Wanted({"x": 1, "measures": 1}, indexes=("sensor_1",)))
def a_time_series(folder):
    folder.collection()
    folder.metadata("shop/measures", TIME_SERIES)
    buckets(folder, "shop/system.buckets.measures")


@sample(Wanted({"measures": 1}, indexes=("sensor_1",)))
def a_time_series_without_buckets_in_its_name(folder):
    """As 100.15 and later write it from servers of 8.3 and later."""
    folder.metadata("shop/measures", TIME_SERIES)
    buckets(folder, "shop/measures")


@sample(Refused(10, "buckets of a time series, whose metadata file is missing"))
def buckets_alone(folder):
    buckets(folder, "shop/system.buckets.measures")


@sample(Refused(10, "does not say of which kind"))
def a_time_series_without_its_options(folder):
    folder.metadata("shop/measures", {**TIME_SERIES, "options": {}})
    buckets(folder, "shop/measures")


@sample(Wanted({"x": 1}, views=("above", "first")))
def views_on_views(folder):
    folder.collection()
    folder.metadata("shop/above", view("above", "first"))
    folder.metadata("shop/first", view("first", "x", [{"$match": {"_id": {"$numberInt": "1"}}}]))


@sample(Wanted({"x": 1}, views=("v",)))
def a_view_of_an_old_version(folder):
    """Without its type: what it is follows from its options."""
    folder.old_collection()
    folder.metadata("shop/v", {"options": {"viewOn": "x", "pipeline": []}, "indexes": []})


@sample(Wanted({"v": 2}, notes=("v: a view that was dumped as a collection",)))
def a_view_as_a_collection(folder):
    """As ``--viewsAsCollections`` writes it."""
    folder.collection("v", [{"_id": 1}, {"_id": 2}], indexes=(), type="view", options={})


@sample(Wanted({"capped": 3, "clustered": 1, "french": 1}))
def capped_clustered_and_collated(folder):
    capped = {"capped": True, "size": {"$numberLong": "4096"}, "max": {"$numberInt": "9"}}
    folder.collection("capped", [{"_id": n} for n in (3, 1, 2)], options=capped)
    clustered = {
        "clusteredIndex": {
            "v": {"$numberInt": "2"},
            "key": {"_id": {"$numberInt": "1"}},
            "name": "_id_",
            "unique": True,
        }
    }
    folder.metadata(
        "shop/clustered",
        {
            "options": clustered,
            "indexes": [{**clustered["clusteredIndex"], "clustered": True}],
            "collectionName": "clustered",
            "type": "collection",
        },
    )
    folder.documents("shop/clustered")
    folder.collection("french", options={"collation": {"locale": "fr"}})


@sample(Wanted({"x": 1}))
def operators_that_look_like_values(folder):
    validator = {"name": {"$regex": "^a", "$ne": "ab"}, "at": {"$ne": {"$date": "2020"}}}
    folder.collection(options={"validator": validator, "validationLevel": "off"})


@sample(Refused(10, "a value or a document cannot be told"))
def values_of_an_old_version(folder):
    """Before 4.0 a date stood there in a form that may be a document today."""
    options = {"validator": {"at": {"$gt": {"$date": "2014-01-02T15:04:05.000Z"}}}}
    folder.old_collection(options=options)


@sample(Wanted({"empty": 0}))
def an_empty_collection(folder):
    folder.collection("empty", [])


@sample(Refused(10, "never finished"))
def unfinished(folder):
    folder.collection()
    folder.file("shop/0123.partial", b"")


@sample(Wanted({"all": 1}))
def every_type(folder):
    folder.collection(
        "all", [{"_id": 1, "long": Int64(1), "old": Binary(b"x", 2), "at": Timestamp(1, 2)}]
    )
