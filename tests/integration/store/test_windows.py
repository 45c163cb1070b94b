"""Windows over ids of every type, under any collation, while documents come and go."""

from __future__ import annotations

import struct
from collections import Counter

import bson
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp

from newbi_migrate.store import windows as module
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.decoding import Undecodable
from newbi_migrate.store.ids import id_key, id_key_of
from newbi_migrate.store.raw import document_of, element
from newbi_migrate.store.windows import has_only_object_ids, read_portions, read_windows

ONE, TWO = ObjectId("64b000000000000000000001"), ObjectId("64b000000000000000000002")
NOT_TEXT = (0x02, struct.pack("<i", 3) + b"\xe9t\0")
BAD_BINARY = (0x05, struct.pack("<i", 3) + b"\x02\x09\x09\x09")
POINTER = (0x0C, struct.pack("<i", 2) + b"c\0" + bytes(12))
SYMBOL = (0x0E, struct.pack("<i", 4) + b"sym\0")


def raw(value):
    return element(bson.encode({"": value}), "")


IDS = [
    *map(
        raw,
        [
            None,
            MinKey(),
            MaxKey(),
            float("nan"),
            float("-inf"),
            float("inf"),
            -7,
            Int64(0),
            0.5,
            Decimal128("7.5"),
            Decimal128("1E+400"),
            "",
            "A",
            "b",
            "C",
            "$a",
            {},
            {"a": 1},
            {"a": 2.0},
            {"a": Decimal128("3"), "b": [1, "x"]},
            {"b": "$a"},
            Binary(b"", 0),
            Binary(b"a", 0),
            Binary(b"a", 5),
            Binary(bytes(16), 4),
            ONE,
            TWO,
            True,
            False,
            DatetimeMS(-(2**62)),
            DatetimeMS(0),
            Timestamp(1, 1),
            Code("f"),
            Code("f", {"a": 1}),
        ],
    ),
    NOT_TEXT,
    BAD_BINARY,
    POINTER,
]
COLLATIONS = {
    "none": None,
    "letters alone": {"locale": "fr", "strength": 1},
    "letters and accents": {"locale": "en", "strength": 2},
    "capitals first": {"locale": "da", "caseFirst": "upper"},
    "numbers in text": {"locale": "en_US", "numericOrdering": True},
}
collations = pytest.mark.parametrize("collation", COLLATIONS.values(), ids=COLLATIONS)


async def made(database, ids, collation=None):
    options = {} if collation is None else {"collation": collation}
    collection = await database.create_collection("documents", **options)
    await collection.insert_many(
        [document_of(("_id", *identifier), ("n", *raw(n % 2))) for n, identifier in enumerate(ids)]
    )
    return collection


def windows_of(collection, size, fields=("n",)):
    return read_windows(collection, fields, size=size, comment="test")


def portions_of(collection, size, fields=("n",)):
    return read_portions(collection, fields, size=size, comment="test")


ways = pytest.mark.parametrize("way", [windows_of, portions_of])


async def keys_of(windows):
    return sorted([id_key(i) async for window in windows for group in window for i in group.ids])


@ways
@collations
@pytest.mark.parametrize("size", [1, 2, 5, 100])
async def test_every_document_is_in_one_window(database, collation, size, way):
    """Ids of all types together, each compared with those of other types."""
    # With a collation of its own, a collection takes no symbol.
    ids = IDS if collation else [*IDS, SYMBOL]
    collection = await made(database, ids, collation)

    assert sorted(id_key_of(*identifier) for identifier in ids) == await keys_of(
        way(collection, size)
    )


@collations
async def test_windows_are_as_large_as_asked(database, collation):
    """The last one has what is left."""
    collection = await made(database, IDS, collation)
    sizes = [sum(g.count for g in window) async for window in windows_of(collection, 5)]

    assert [5] * (len(IDS) // 5) + [len(IDS) % 5] == sizes


@collations
async def test_a_collation_moves_no_document_out_of_its_window(database, collation):
    """A collection may order A, b, C where bytes order A, C, b."""
    collection = await made(database, [raw(text) for text in ("A", "b", "C")], collation)
    expected = [id_key(text) for text in ("A", "C", "b")]
    windows = [w async for w in windows_of(collection, 1)]

    assert expected == [id_key(i) for w in windows for g in w for i in g.ids]


@ways
async def test_only_documents_that_can_be_named_are_named(database, way):
    """An id that the driver cannot give back stands apart, and its group is not readable."""
    collection = await made(database, IDS)
    groups = [g async for w in way(collection, 100) for g in w]
    unnamed = [i for g in groups if not g.readable for i in g.ids]

    assert sorted(id_key_of(*bad) for bad in (NOT_TEXT, BAD_BINARY, POINTER)) == sorted(
        map(id_key, unnamed)
    )
    assert all(isinstance(i, Undecodable) for i in unnamed)
    assert not any(isinstance(i, Undecodable) for g in groups if g.readable for i in g.ids)
    assert len(IDS) == sum(group.count for group in groups)


@pytest.mark.parametrize("ids", [["a", "b", "c", "d", "e", "f"], [ONE, TWO], [1, 2.5, Int64(3)]])
@pytest.mark.parametrize("size", [1, 2])
async def test_a_document_that_goes_takes_no_other_along(database, ids, size, monkeypatch):
    """The first of a window disappears between any two of its statements."""
    collection = await made(database, [raw(i) for i in ids])
    kept = [raw(i) for i in ids if i != ids[0]]
    read = module._read

    async def deleting(*arguments, **options):
        await collection.delete_one({"_id": ids[0]})
        async for found in read(*arguments, **options):
            yield found

    monkeypatch.setattr(module, "_read", deleting)

    assert sorted(id_key_of(*i) for i in kept) == await keys_of(windows_of(collection, size))


async def test_a_window_that_was_emptied_is_not_the_last(database, monkeypatch):
    """All its documents went after its end was fixed; those behind it are still there."""
    collection = await made(database, [raw(text) for text in "abcd"])
    read = module._read

    async def deleting(*arguments, **options):
        await collection.delete_many({"_id": {"$in": ["a", "b"]}})
        async for found in read(*arguments, **options):
            yield found

    monkeypatch.setattr(module, "_read", deleting)

    assert [id_key("c"), id_key("d")] == await keys_of(windows_of(collection, 2))


async def test_documents_that_come_make_no_other_come_twice(database, monkeypatch):
    """They come in before, within and behind the window that is being read."""
    collection = await made(database, [raw(text) for text in "bdfh"])
    read = module._read
    coming = iter(["a", "c", "e", "g", "i"])

    async def inserting(*arguments, **options):
        for text in coming:
            await collection.insert_one({"_id": text, "n": 0})
        async for found in read(*arguments, **options):
            yield found

    monkeypatch.setattr(module, "_read", inserting)
    found = Counter(await keys_of(windows_of(collection, 2)))

    assert {1} == set(found.values())
    assert {id_key(text) for text in "bdfh"} <= found.keys()


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([], True), ([ONE, TWO], True), ([ONE, 1], False), ([True, ONE], False), ([{}, ONE], False)],
)
async def test_a_collection_of_object_ids_is_known_by_its_ends(database, ids, expected):
    """Ids are ordered by type before anything else."""
    collection = database["documents"]
    if ids:
        await made(database, [raw(i) for i in ids])

    assert expected == await has_only_object_ids(collection, comment="test")


async def test_an_end_that_cannot_be_decoded_is_no_object_id(database):
    """Nobody has to decode it to see that."""
    collection = await made(database, [NOT_TEXT, raw(ONE)])

    assert not await has_only_object_ids(collection, comment="test")


@ways
async def test_documents_that_hold_the_same_bytes_are_one_group(database, way):
    """1 and 1.0, or an absent field and a null, are not the same to a rollback."""
    collection = database["documents"]
    held = [{"n": 1}, {"n": 1.0}, {"n": None}, {}, {"n": 1}, {}]
    await collection.insert_many([{"_id": ObjectId(), "other": n, **d} for n, d in enumerate(held)])
    groups = [g async for w in way(collection, 100) for g in w]

    assert [(2, {"n": 1}), (1, {"n": 1.0}), (1, {"n": None}), (2, {})] == [
        (g.count, g.stored) for g in groups
    ]
    assert [bson.encode(g.stored) for g in groups] == [g.raw_key for g in groups]


@ways
async def test_of_two_fields_of_one_name_the_first_counts(database, way):
    """The server compares and sets that one."""
    collection = database["documents"]
    one, two = ("n", *raw(1)), ("n", *raw(2))
    await collection.insert_one(document_of(("_id", *raw(ONE)), one, two))
    ((group,),) = [w async for w in way(collection, 100)]

    assert {"n": 1} == group.stored
    assert document_of(one).raw == group.prior(["n"]).raw


@ways
@pytest.mark.parametrize("ids", [[ObjectId() for _ in range(9)], [*range(8), "a"]])
async def test_documents_of_which_few_are_alike_come_fewer_at_once(database, way, ids, monkeypatch):
    """Each is a group then; none is passed over, and none comes twice."""
    monkeypatch.setattr(module, "_MOST_GROUPS", 2)
    monkeypatch.setattr(module, "_FEW_FIELDS", 2)
    held = [0, 1, 2, 2, 2, 3, 3, 4, 5]
    await database["documents"].insert_many(
        [{"_id": i, "n": n} for i, n in zip(ids, held, strict=True)]
    )
    found = [
        [(i, g.stored["n"]) for g in w for i in g.ids]
        async for w in way(database["documents"], 100)
    ]

    assert list(zip(ids, held, strict=True)) == [pair for some in found for pair in some]
    assert all(len({n for _, n in some}) <= 2 for some in found)


async def test_a_view_may_show_documents_without_an_id(database):
    """Each counts, though none can be named."""
    await database["documents"].insert_many([{"n": 1}, {"n": 1}])
    await database.command("create", "view", viewOn="documents", pipeline=[{"$unset": "_id"}])
    ((group,),) = [w async for w in portions_of(database["view"], 100)]

    assert (2, [None, None], {"n": 1}) == (group.count, group.ids, group.stored)


async def test_a_census_counts_what_cannot_be_decoded(database):
    """An example that cannot be named makes its group no less readable; a value does."""
    collection = await database.create_collection("documents")
    await collection.insert_many(
        [
            document_of(("_id", *NOT_TEXT), ("n", *raw(1))),
            document_of(("_id", *raw("\U0010ffff")), ("n", *raw(1.0))),
            document_of(("_id", *raw(7)), ("n", *BAD_BINARY)),
        ]
    )
    found = [g async for groups in count_groups(collection, ["n"], comment="") for g in groups]
    told = {g.readable: (g.count, id_key(g.ids[0])) for g in found}

    assert {True: (2, id_key_of(*NOT_TEXT)), False: (1, id_key(7))} == told
