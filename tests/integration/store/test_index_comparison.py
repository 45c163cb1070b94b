"""Indexes as the server stores them, compared with how they are described."""

from __future__ import annotations

import pytest
from bson import Decimal128, Int64
from leases import leased
from pymongo import IndexModel

from newbi_migrate.documents.indexes import create_indexes
from newbi_migrate.documents.registry import CollectionSpec, IdType, IndexSpec, UniqueKey
from newbi_migrate.store.indexes import (
    Created,
    Refused,
    build_wanted,
    matches,
    plan_indexes,
    read_indexes,
)

ASCENDING = IndexSpec((("workspaceId", 1), ("status", 1)))
UNIQUE = IndexSpec((("number", 1), ("workspaceId", 1)), unique=True)
PARTIAL = IndexSpec((("number", 1),), unique=True, partial={"number": {"$type": "string"}})
SPARSE = IndexSpec((("key", 1),), unique=True, sparse=True)
TEXT = IndexSpec((("workspaceId", 1), ("vendor", "text"), ("name", "text")))
ALL = (ASCENDING, UNIQUE, PARTIAL, SPARSE, TEXT)


def described(*indexes, obsolete=()):
    return CollectionSpec(
        "things",
        "userId",
        IdType.OBJECT_ID,
        unique_keys=tuple(UniqueKey(i) for i in indexes if i.unique),
        indexes=tuple(i for i in indexes if not i.unique),
        obsolete=obsolete,
    )


@pytest.mark.parametrize("collation", [None, {"locale": "fr", "strength": 1}])
async def test_what_was_created_is_present(database, collation):
    """Creating what a description wants leaves nothing to create, whatever the kind of index.

    Nor where the collection's own collation would become that of its indexes.
    """
    await database.create_collection("things", collation=collation)
    async with leased(database, targets=["things"]) as session:
        outcomes = await build_wanted(session, "things", ALL)
    plan = plan_indexes(await read_indexes(database, "things"), described(*ALL))

    assert all(isinstance(outcome, Created) for outcome in outcomes.values())
    assert {spec.name for spec in ALL} == {spec.name for spec in plan.present}
    assert ((), (), ()) == (plan.to_create, plan.conflicts, plan.obsolete_present)


@pytest.mark.parametrize(
    ("direction", "same"),
    [
        *((value, True) for value in (1.0, Int64(1), Decimal128("1"))),
        *((value, False) for value in (0.5, -3.5, 1e300, float("inf"), Decimal128("2.5"), -1)),
        # No server of today takes these; a collection of an old one may have them.
        *(
            (value, False)
            for value in (float("nan"), -0.0, "1", "", "2d", None, {}, Decimal128("NaN"))
        ),
    ],
)
def test_a_direction_of_any_kind_is_compared(direction, same):
    """It is ours where it is that whole number, whatever its type; nothing stops at any other."""
    wanted = IndexSpec((("a", 1),))
    stored = {"name": "odd", "key": {"a": direction}, "v": 2}
    plan = plan_indexes([stored], described(wanted))

    assert ((wanted,) if same else (), () if same else (wanted,)) == (plan.present, plan.to_create)


async def test_the_indexes_of_a_backend_have_the_simple_collation_too(database):
    """What a collection calls equal is not refused by a unique index of it."""
    await database.create_collection("invoices", collation={"locale": "fr", "strength": 1})
    built = await create_indexes(database, "invoices")
    again = await create_indexes(database, "invoices")

    assert built.built
    assert ([], []) == (built.obstacles, again.built)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("room", [0, 1, 3])
async def test_what_a_collection_has_no_room_for_is_foreseen(database, room, clustered):
    """The plan calls those a conflict that the server would refuse, and no other."""
    options = {"clusteredIndex": {"key": {"_id": 1}, "unique": True}} if clustered else {}
    await database.create_collection("things", **options)
    there = (64 if clustered else 63) - room
    await database["things"].create_indexes([IndexModel([(f"f{n}", 1)]) for n in range(there)])
    wanted = (UNIQUE, SPARSE)
    plan = plan_indexes(await read_indexes(database, "things"), described(*wanted))
    async with leased(database, targets=["things"]) as session:
        built = await build_wanted(session, "things", wanted)

    assert [spec for spec in wanted if isinstance(built[spec.name], Created)] == [*plan.to_create]
    assert [*wanted[room:]] == [spec for spec, _ in plan.conflicts]


async def test_another_name_is_the_same_index(database):
    """The application's libraries choose names of their own."""
    await database["things"].create_indexes(
        [IndexModel(list(UNIQUE.keys), name="own", unique=True)]
    )
    plan = plan_indexes(await read_indexes(database, "things"), described(UNIQUE))

    assert (UNIQUE,) == plan.present


async def test_another_option_is_another_index(database):
    """Equal keys without uniqueness, or under another filter, are not what is wanted."""
    await database["things"].create_index(list(UNIQUE.keys), name="own")
    await database["things"].create_index([("number", 1)], unique=True, name="whole")
    stored = await read_indexes(database, "things")

    assert not any(matches(index, UNIQUE) for index in stored)
    assert not any(matches(index, PARTIAL) for index in stored)


async def test_a_name_that_is_taken_is_a_conflict(database):
    """The server would refuse it; the plan says so before."""
    await database["things"].create_index("other", name=UNIQUE.name)
    plan = plan_indexes(await read_indexes(database, "things"), described(UNIQUE))
    async with leased(database, targets=["things"]) as session:
        refused = await build_wanted(session, "things", [UNIQUE])

    assert [UNIQUE] == [spec for spec, _ in plan.conflicts]
    assert isinstance(refused[UNIQUE.name], Refused)


async def test_a_second_text_index_is_deferred_where_the_first_is_obsolete(database):
    """A collection has one: the legacy one gives way. Any other is a conflict."""
    legacy = IndexSpec((("vendor", "text"),))
    await database["things"].create_index([("vendor", "text")])
    stored = await read_indexes(database, "things")
    deferred = plan_indexes(stored, described(TEXT, obsolete=(legacy,)))
    foreign = plan_indexes(stored, described(TEXT))

    assert ([TEXT], ()) == ([spec for spec, _ in deferred.deferred], deferred.conflicts)
    assert ["vendor_text"] == [spec.name for spec in deferred.obsolete_present]
    assert ((), [TEXT]) == (foreign.deferred, [spec for spec, _ in foreign.conflicts])


async def test_an_index_that_keeps_something_unique_gives_no_way(database):
    """Where a wanted one has its name, nothing would be unique between the two."""
    old = IndexSpec((("number", 1), ("createdBy", 1)), unique=True)
    await database["things"].create_index(list(old.keys), unique=True, name=UNIQUE.name)
    stored = await read_indexes(database, "things")
    plan = plan_indexes(stored, described(UNIQUE, obsolete=(old,)))

    assert ((), [UNIQUE]) == (plan.deferred, [spec for spec, _ in plan.conflicts])


async def test_only_uniqueness_makes_an_old_index_obsolete(database):
    """The application re-declared some of its old keys without uniqueness: those stay."""
    old = IndexSpec((("number", 1), ("createdBy", 1)), unique=True)
    await database["things"].create_index(list(old.keys))
    kept = plan_indexes(await read_indexes(database, "things"), described(obsolete=(old,)))
    await database["things"].drop_indexes()
    await database["things"].create_index(list(old.keys), unique=True, name="year_unique")
    hindering = plan_indexes(await read_indexes(database, "things"), described(obsolete=(old,)))

    assert () == kept.obsolete_present
    assert ["year_unique"] == [spec.name for spec in hindering.obsolete_present]


@pytest.mark.parametrize("others", [(), (ASCENDING, SPARSE)])
async def test_one_refused_index_does_not_keep_the_others_away(database, others):
    """Where documents collide, that index is refused without their keys, and the rest is built."""
    await database["things"].insert_many([{"number": "1", "workspaceId": 1} for _ in range(2)])
    async with leased(database, targets=["things"]) as session:
        outcomes = await build_wanted(session, "things", [UNIQUE, *others])
    names = {index["name"] for index in await read_indexes(database, "things")}

    assert 11000 == outcomes.pop(UNIQUE.name).code
    assert all(isinstance(outcome, Created) for outcome in outcomes.values())
    assert {"_id_", *(spec.name for spec in others)} == names


async def test_an_index_the_server_does_not_take_is_refused(database):
    """A registry of one's own may describe an index that no server builds."""
    await database.create_collection("things")
    odd = IndexSpec((("number", 1),), partial={"number": {"$none": 1}})
    async with leased(database, targets=["things"]) as session:
        outcomes = await build_wanted(session, "things", [odd, ASCENDING])

    assert isinstance(outcomes[odd.name], Refused)
    assert isinstance(outcomes[ASCENDING.name], Created)


async def test_a_collection_that_does_not_exist_has_no_indexes(database):
    """Asking does not create it."""
    assert () == await read_indexes(database, "nowhere")
    assert [] == await database.list_collection_names()
