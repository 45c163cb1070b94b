"""Laws of taking back: what was written goes, what somebody changed stays."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import bson
import pytest
from bson import ObjectId, Timestamp
from bson.raw_bson import RawBSONDocument
from hypothesis import given, strategies as st
from leases import leased

from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.journal import JournalGroup
from newbi_migrate.store.raw import ObjectIds, document_of, element, element_of, elements
from newbi_migrate.store.stamping import write_groups
from newbi_migrate.store.undo import (
    Chain,
    compare_groups,
    follow,
    overwrite,
    restore,
)
from newbi_migrate.testing.strategies import bson_values

RAW = bson.CodecOptions(document_class=RawBSONDocument)
FIELDS = ("workspaceId", "createdBy")
# The server puts the time in place of an empty timestamp that is inserted.
VALUES = bson_values(nan=False).filter(lambda value: value != Timestamp(0, 0))


@st.composite
def worlds(draw):
    """Documents, what is written to each, and what somebody changes afterwards."""
    number = draw(st.integers(1, 6))
    documents, groups, changes = [], [], {}
    for identifier in range(number):
        document = {"_id": identifier, "before": draw(st.integers(0, 9))}
        for field in FIELDS:
            if draw(st.booleans()):
                document[field] = draw(VALUES)
        document["after"] = draw(st.integers(0, 9))
        written = {
            field: draw(st.sampled_from(["ours-1", "ours-2", 7]))
            for field in draw(st.sampled_from([FIELDS, FIELDS[:1], FIELDS[1:]]))
        }
        raw = bson.encode(document)
        prior = document_of(
            *((name, *found) for name in written if (found := element(raw, name)) is not None)
        )
        documents.append(raw)
        groups.append(JournalGroup(written, prior, [identifier]))
        if draw(st.integers(0, 3)) == 0:
            changes[identifier] = draw(
                st.sampled_from(
                    [
                        {"$set": {"workspaceId": "somebody's"}},
                        {"$unset": {"workspaceId": ""}},
                        {"$set": {"createdBy": "somebody's"}},
                        {"$set": {"other": 1}},
                    ]
                )
            )
    return documents, groups, changes


@pytest.fixture(scope="module")
def in_database(mongod):
    """Runs an asynchronous function on an empty collection."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        uri = mongod.uri_for("newbi_test_undo")
        session = runner.run(stack.enter_async_context(leased(uri, targets=["c"])))
        collection = session.database.get_collection("c", codec_options=PLAIN)

        def run(function):
            async def fresh():
                await collection.delete_many({})
                return await function(session, collection)

            return runner.run(fresh())

        yield run
        runner.run(session.database.client.drop_database("newbi_test_undo"))
        runner.run(stack.aclose())


async def stored(collection):
    raw = collection.with_options(codec_options=RAW)
    found = [bytes(d.raw) async for d in raw.find().sort("_id", 1)]
    # Ids are numbers; nothing else is decoded, for it may be none that Python can hold.
    return {int.from_bytes(element(d, "_id")[1], "little"): d for d in found}


def parts(raw, *, without=()):
    return [part for part in elements(raw) if part[0] not in without]


@given(world=worlds())
def test_what_nobody_changed_comes_back_to_the_byte(in_database, world):
    """Whatever stood there: field order, types, and fields beside, as they were."""
    documents, groups, _ = world

    async def act(session, collection):
        await collection.insert_many([RawBSONDocument(d) for d in documents])
        before = await stored(collection)
        await write_groups(session, "c", groups)
        compared = await compare_groups(collection, groups, comment="test")
        await restore(session, "c", compared.to_restore)
        again = await compare_groups(collection, groups, comment="test")
        return before, await stored(collection), compared, again

    before, after, compared, again = in_database(act)

    assert before == after
    assert [] == compared.changed_fields == again.changed_fields
    assert [] == [g for g in again.to_restore if _differs(g, before)]


def _differs(group, before):
    """Whether a group's documents did not hold its values in the first place."""
    return any(
        any(
            element(before[i], name) != element(bson.encode(dict(group.changes)), name)
            for name in group.changes
        )
        for i in group.ids
    )


@given(world=worlds())
def test_what_somebody_changed_is_told_and_left(in_database, world):
    """Neither comparing nor restoring touches it, and every other field goes back."""
    documents, groups, changes = world

    async def act(session, collection):
        await collection.insert_many([RawBSONDocument(d) for d in documents])
        before = await stored(collection)
        await write_groups(session, "c", groups)
        for identifier, change in changes.items():
            await collection.update_one({"_id": identifier}, change)
        changed = await stored(collection)
        compared = await compare_groups(collection, groups, comment="test")
        untouched = await stored(collection)
        await restore(session, "c", compared.to_restore)
        return before, changed, untouched, compared, await stored(collection)

    before, changed, untouched, compared, after = in_database(act)

    assert changed == untouched
    told = {(d.id, d.field) for d in compared.changed_fields}
    for group in groups:
        (identifier,) = group.ids
        for name in group.changes:
            now = element(after[identifier], name)
            if (identifier, name) in told:
                assert element(changed[identifier], name) == now
            else:
                assert element(before[identifier], name) == now
        rest = set(group.changes)
        assert sorted(parts(changed[identifier], without=rest)) == sorted(
            parts(after[identifier], without=rest)
        )


@given(world=worlds())
def test_discarding_leaves_no_trace_of_run_or_change(in_database, world):
    """Restored and overwritten, every field of the run holds what stood there before."""
    documents, groups, changes = world

    async def act(session, collection):
        await collection.insert_many([RawBSONDocument(d) for d in documents])
        before = await stored(collection)
        await write_groups(session, "c", groups)
        for identifier, change in changes.items():
            await collection.update_one({"_id": identifier}, change)
        compared = await compare_groups(collection, groups, comment="test")
        await restore(session, "c", compared.to_restore)
        await overwrite(session, "c", compared.changed_fields)
        return before, await stored(collection)

    before, after = in_database(act)

    for group in groups:
        (identifier,) = group.ids
        for name in group.changes:
            assert element(before[identifier], name) == element(after[identifier], name)


@given(values=st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=5, unique=True))
def test_a_chain_of_writes_is_no_difference(in_database, values):
    """Seen from its last link to its first, each link finds what the one before had written."""
    first, *rest = values
    links = [
        JournalGroup({"f": new}, {"f": old}, [1]) for old, new in zip(values, rest, strict=False)
    ]

    async def act(_, collection):
        await collection.insert_one({"_id": 1, "f": values[-1]})
        chain = Chain(1, (), list(reversed(links)))
        return await follow(collection, [chain], discard=False, comment="test")

    (followed,) = in_database(act)

    assert first != rest[0]
    assert (True, ()) == (followed.restored, followed.changed_fields)
    assert element_of(first) == followed.after["f"]


STATES = st.sampled_from(["written", "prior", "changed", "in a list", "partly", "gone"])


@st.composite
def packed_worlds(draw):
    """Groups of many documents with packed ids, and in which state each document is by now."""
    groups, states = [], {}
    for number in range(draw(st.integers(1, 3))):
        ids = [
            ObjectId(bytes([number + 1]) * 11 + bytes([n])) for n in range(draw(st.integers(1, 5)))
        ]
        written = {"workspaceId": ObjectId(bytes([0x70 + number]) * 12)}
        if draw(st.booleans()):
            written["createdBy"] = ObjectId(bytes([0x60 + number]) * 12)
        prior = document_of(("workspaceId", *element_of("before")))
        packed = ObjectIds(b"".join(i.binary for i in ids))
        groups.append(JournalGroup(written, prior, packed))
        for identifier in ids:
            states[identifier] = (draw(STATES), written)
    return groups, states


def as_it_stands(identifier, state, written):
    document = {"_id": identifier, "workspaceId": "before"}
    if state == "written":
        document |= written
    if state == "changed":
        document["workspaceId"] = ObjectId(b"z" * 12)
    if state == "in a list":
        document["workspaceId"] = [written["workspaceId"]]
    if state == "partly" and len(written) > 1:
        document["createdBy"] = written["createdBy"]
    return document


@given(world=packed_worlds())
def test_every_document_of_a_window_is_told_by_how_it_stands(in_database, world):
    """Whatever its neighbours are: as written, as before, changed, gone, or some fields of each."""
    groups, states = world
    there = [as_it_stands(i, *found) for i, found in states.items() if found[0] != "gone"]

    async def act(_, collection):
        if there:
            await collection.insert_many(there)
        return await compare_groups(collection, groups, comment="test")

    compared = in_database(act)
    of = {
        state: {i for i, (found, _) in states.items() if found == state}
        for state in ("written", "prior", "changed", "in a list", "partly", "gone")
    }
    some = {i for i in of["partly"] if len(states[i][1]) > 1}

    assert {i: states[i][1] for i in of["written"]} == {
        i: group.changes for group in compared.written for i in group.ids
    }
    assert some == {i for group in compared.partly for i in group.ids}
    assert of["changed"] | of["in a list"] == {found.id for found in compared.changed_fields}
    assert len(of["prior"]) + len(of["partly"] - some) == compared.restored
    assert len(of["gone"]) == compared.gone
