"""No entry of the journal comes near MongoDB's limit, whatever is written or stood there."""

from __future__ import annotations

import bson
import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from hypothesis import given, strategies as st
from small_legacy import DAY, USERS, legacy_user

from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.users import Finding
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MAX_BATCH_SIZE, MigrationOptions
from newbi_migrate.store import journal
from newbi_migrate.store.journal import MAX_ENTRY_BYTES, JournalGroup, portions

LIMIT = 16 * 1024 * 1024


def entries(database):
    """Size and number of documents of each entry about invoices, without reading ids."""
    return list(
        database["newbi_migrate_journal"].aggregate(
            [
                {"$match": {"collection": "invoices", "kind": "window"}},
                {"$project": {"size": {"$bsonSize": "$$ROOT"}, "count": 1, "state": 1}},
            ]
        )
    )


def odd_invoices(count, filling):
    """Invoices of three users, each with another text where its workspace should be."""
    return [
        {
            "_id": ObjectId(f"64c0{n:020x}"),
            "createdBy": USERS[n % 3],
            "workspaceId": f"{n:08x}{filling}",
            "createdAt": DAY,
        }
        for n in range(count)
    ]


async def migrated(uri, **options):
    async with Migration(uri, options=MigrationOptions(**options)) as migration:
        return await migration.apply()


@pytest.mark.slow
async def test_a_window_of_twenty_megabytes_of_different_values_is_journaled(uri, sync_database):
    """It takes several entries, each far below what a document may hold."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    sync_database["invoices"].insert_many(odd_invoices(18_000, "x" * 1100), ordered=False)
    result = await migrated(uri, batch_size=MAX_BATCH_SIZE)
    found = entries(sync_database)

    assert (ExitCode.DONE, 18_000) == (result.exit_code, result.collections["invoices"].stamped)
    assert 18_000 == sum(entry["count"] for entry in found)
    assert {"applied"} == {entry["state"] for entry in found}
    assert max(entry["size"] for entry in found) < LIMIT * 0.51


async def test_a_value_that_no_entry_has_room_for_is_quarantined(uri, sync_database):
    """A text of 16 MB where a workspace should be: quarantined in plan and run; others go on."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    huge = {"_id": ObjectId(), "createdBy": USERS[0], "workspaceId": "x" * (LIMIT - 100)}
    sync_database["invoices"].insert_many([huge, *odd_invoices(3, "")])
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result = await migration.apply(plan)

    assert [("invoices", huge["_id"], Reason.DOCUMENT_TOO_LARGE)] == [
        (q.collection, q.id, q.reason) for q in result.quarantine
    ]
    assert list(plan.quarantine) == list(result.quarantine)
    assert 3 == result.collections["invoices"].stamped


async def test_where_a_window_is_divided_does_not_show_in_the_result(
    mongod, servers, database_name, monkeypatch
):
    """Many small entries end in the same bytes as one large entry, and name as many documents."""
    found = []
    for limit in (2048, MAX_ENTRY_BYTES):
        monkeypatch.setattr(journal, "MAX_ENTRY_BYTES", limit)
        name = f"{database_name}_{limit}"
        database = servers.client(mongod)[name]
        database["Users"].insert_many([legacy_user(n) for n in range(3)])
        plain = [{"_id": ObjectId(f"64d0{n:020x}"), "createdBy": USERS[n % 3]} for n in range(300)]
        database["invoices"].insert_many([*odd_invoices(100, "x" * 300), *plain])
        await migrated(mongod.uri_for(name))
        journaled = entries(database)
        found.append((len(journaled), sum(entry["count"] for entry in journaled)))
        found.append(fingerprint(database, run_records=False))
        servers.drop(name)
    (many, divided), small, (few, whole), large = found

    assert [] == changes(small, large)
    assert (400, 400) == (divided, whole)
    assert many > few == 1


async def test_a_divided_window_is_finished_after_an_interruption(uri, sync_database, monkeypatch):
    """A run stopped between two parts of a window is resumed, and misses none."""
    monkeypatch.setattr(journal, "MAX_ENTRY_BYTES", 1024)
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    sync_database["invoices"].insert_many(odd_invoices(60, "x" * 300))

    class StopEarly:
        """Stops the run once some documents of the window have been written."""

        def phase(self, name, total):
            pass

        def note(self, sentence):
            pass

        def advance(self, amount, detail=""):
            pass

    stopping = StopEarly()
    async with Migration(uri, progress=stopping) as migration:
        append = journal.Journal.applied_window

        async def append_and_stop(self, *args, **kwargs):
            await append(self, *args, **kwargs)
            migration.stop()

        monkeypatch.setattr(journal.Journal, "applied_window", append_and_stop)
        with pytest.raises(Exception, match="safe point"):
            await migration.apply()
        monkeypatch.setattr(journal.Journal, "applied_window", append)
    before = sync_database["invoices"].count_documents({"workspaceId": {"$type": "objectId"}})
    result = await migrated(uri)

    assert 0 < before < 60
    assert result.resumed
    assert 60 == sync_database["invoices"].count_documents({"workspaceId": {"$type": "objectId"}})
    assert {"applied"} == {entry["state"] for entry in entries(sync_database)}


GROUPS = st.builds(
    JournalGroup,
    st.just({"workspaceId": USERS[0]}),
    st.builds(lambda n: {"workspaceId": "x" * n}, st.integers(0, 90)),
    st.one_of(
        st.integers(1, 40).map(lambda n: [ObjectId(f"64c0{i:020x}") for i in range(n)]),
        st.integers(1, 40).map(lambda n: [f"id-{i}" for i in range(n)]),
    ),
)


@given(GROUPS)
def test_the_size_of_a_group_is_told_without_storing_it(group):
    """Never too little, and too much by a few bytes only."""
    stored = len(bson.encode(group.to_document()))

    assert stored < group.stored_size() < stored + 48


@given(st.lists(GROUPS, max_size=12), st.integers(300, 2000))
def test_portions_hold_everything_once_in_order_and_are_small(groups, limit):
    """Whatever the groups are: no id is lost or doubled, and no portion exceeds the limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "MAX_ENTRY_BYTES", limit)
        divided = list(portions(groups))

    def told(some):
        return [(dict(g.changes), dict(g.prior), i) for g in some for i in g.ids]

    assert told(groups) == told([group for portion in divided for group in portion])
    for portion in divided:
        size = len(bson.encode({"groups": [group.to_document() for group in portion]}))
        assert size <= limit + 20


@pytest.mark.parametrize(
    ("collection", "code"), [("Users", ExitCode.QUARANTINED), ("invoices", ExitCode.DONE)]
)
async def test_an_id_of_nearly_all_that_a_document_holds_is_recorded(
    uri, sync_database, collection, code
):
    """Each record holds it once, and the run comes to its end; no user can have such an id."""
    huge = "x" * (LIMIT - 100_000)
    document = legacy_user(1) if collection == "Users" else odd_invoices(1, "")[0]
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database[collection].insert_one({**document, "_id": huge})
    before = fingerprint(sync_database, run_records=False)
    result = await migrated(uri)
    async with Migration(uri) as migration:
        await migration.rollback()

    assert code == result.exit_code
    assert [] == changes(before, fingerprint(sync_database, run_records=False))


def pictured(number, size):
    """A legacy user with a picture as a data URL."""
    picture = "data:image/png;base64," + "A" * size
    return legacy_user(
        0,
        _id=ObjectId(f"64b1{number:020x}"),
        email=f"jeanne{number}@exemple.fr",
        profile={"firstName": "Jeanne", "profilePicture": picture},
    )


async def test_what_is_filled_into_many_users_is_journaled_in_several_entries(uri, sync_database):
    """A picture stands in three fields of a user: those of forty users take 24 MB."""
    people = [pictured(n, 200_000) for n in range(40)]
    sync_database["Users"].insert_many(people)
    sync_database["user"].insert_many([{"_id": p["_id"], "email": p["email"]} for p in people])
    before = fingerprint(sync_database, run_records=False)
    result = await migrated(uri)
    of_users = [{"$match": {"kind": "users"}}, {"$project": {"size": {"$bsonSize": "$$ROOT"}}}]
    sizes = [e["size"] for e in sync_database["newbi_migrate_journal"].aggregate(of_users)]
    async with Migration(uri) as migration:
        await migration.rollback()

    assert (ExitCode.DONE, 40) == (result.exit_code, result.filled["user"])
    assert len(sizes) > 1
    assert max(sizes) < LIMIT * 0.51
    assert [] == changes(before, fingerprint(sync_database, run_records=False))


@pytest.mark.parametrize(("known", "left"), [(True, "image"), (False, "avatar")])
async def test_a_picture_for_which_a_user_has_no_room_stays_in_the_legacy_document(
    uri, sync_database, known, left
):
    """Two of it fit into a document and three do not; the user is migrated, as the plan says."""
    person = pictured(0, 6_000_000)
    sync_database["Users"].insert_one(person)
    if known:
        sync_database["user"].insert_one({"_id": person["_id"], "email": person["email"]})
    before = fingerprint(sync_database, run_records=False)
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result, again = await migration.apply(plan), await migration.plan()
        user = sync_database["user"].find_one()
        await migration.rollback()

    for found in (plan, result):
        assert [Finding("no-room", "user", person["_id"], left)] == [
            finding for finding in found.findings if finding.path == left
        ]
    assert (ExitCode.DONE, False) == (result.exit_code, again.pending)
    assert {"avatar", "image", "profile"} - {left} == {"avatar", "image", "profile"} & user.keys()
    assert [] == changes(before, fingerprint(sync_database, run_records=False))


@pytest.mark.parametrize("size", [0, 40_000])
async def test_a_user_who_is_too_large_is_quarantined_alone(uri, sync_database, size):
    """With a name beside what fills a legacy document, or a small picture thrice."""
    large = {**pictured(1, size), "note": ""}
    large["note"] = "x" * (LIMIT - len(bson.encode(large)) - 10)
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(2)])
    sync_database["Users"].insert_one(large)
    before = fingerprint(sync_database, run_records=False)
    result = await migrated(uri)
    async with Migration(uri) as migration:
        await migration.rollback()

    assert [(large["_id"], Reason.WRITE_REFUSED)] == [(q.id, q.reason) for q in result.quarantine]
    assert {2} == set(result.created.values())
    assert [] == changes(before, fingerprint(sync_database, run_records=False))
