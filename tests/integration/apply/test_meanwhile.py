"""What the application writes between the journal and the statement is not stamped by mistake."""

from __future__ import annotations

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from leases import leased
from small_legacy import USERS, legacy_user

from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import CollectionSpec, IdType, ParentLink, Registry
from newbi_migrate.errors import InterruptedRunError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.store.journal import EntryKind, Journal, JournalGroup, JournalReader
from newbi_migrate.store.stamping import write_groups

ANNA, BERT, CARL = USERS[:3]
# Somebody else had this address, verified, before Carl's was migrated.
CARL_NOW = ObjectId("65b000000000000000000001")
NOBODY = ObjectId("65b000000000000000000002")
IDS = [ObjectId(f"64c0{n:020x}") for n in range(10)]
CAME = IDS[5]

# Documents whose owner and reviewer are users, and who follow a board where they name one.
REVIEWED = Registry(
    [
        CollectionSpec("boards", "userId", IdType.OBJECT_ID),
        CollectionSpec(
            "invoices",
            "createdBy",
            IdType.OBJECT_ID,
            parent=ParentLink("boardId", "boards"),
            alias_fields=("reviewerId",),
        ),
    ]
)


def exchange(invoices):
    """A document goes and one with an old id comes, so that counts agree."""
    invoices.delete_one({"_id": IDS[1]})
    invoices.insert_one({"_id": CAME, "createdBy": ANNA})


def come(invoices):
    """A document with an old id comes."""
    invoices.insert_one({"_id": CAME, "createdBy": ANNA})


def adopt(invoices):
    """A document nobody owned gets an owner."""
    invoices.update_one({"_id": IDS[2]}, {"$set": {"createdBy": ANNA}})


def hand_over(invoices):
    """A document gets another owner."""
    invoices.update_one({"_id": IDS[1]}, {"$set": {"createdBy": BERT}})


def hand_over_reviewed(invoices):
    """A document that Carl is to review gets another owner."""
    invoices.update_one({"_id": IDS[4]}, {"$set": {"createdBy": BERT}})


def put_on_board(invoices):
    """A document without a board is put on Bert's."""
    invoices.update_one({"_id": IDS[1]}, {"$set": {"boardId": IDS[9]}})


RACES = [
    (NEWBI, exchange),
    (NEWBI, come),
    (NEWBI, adopt),
    (NEWBI, hand_over),
    (REVIEWED, exchange),
    (REVIEWED, adopt),
    (REVIEWED, hand_over),
    (REVIEWED, hand_over_reviewed),
    (REVIEWED, put_on_board),
]


@pytest.fixture(
    params=RACES, ids=[("" if r is NEWBI else "reviewed_") + a.__name__ for r, a in RACES]
)
def race(request):
    """A registry, and what the application does."""
    return request.param


@pytest.fixture
def done():
    """What the application has done meanwhile."""
    return []


@pytest.fixture
def expected(sync_database, monkeypatch, race, done):
    """What the database holds with what the application did, and without a migration.

    The application does it again as soon as the first entry about invoices has been journaled.
    """
    _, act = race
    sync_database["Users"].insert_many(
        [*(legacy_user(n) for n in range(2)), legacy_user(2, email="carl@exemple.fr")]
    )
    sync_database["user"].insert_one(
        {"_id": CARL_NOW, "email": "carl@exemple.fr", "emailVerified": True, "name": "Carl"}
    )
    sync_database["boards"].insert_one({"_id": IDS[9], "userId": BERT})
    invoices = sync_database["invoices"]
    documents = [
        {"_id": IDS[0], "createdBy": ANNA, "number": "0"},
        {"_id": IDS[1], "createdBy": ANNA, "number": "1"},
        {"_id": IDS[2], "createdBy": NOBODY, "number": "2"},
        {"_id": IDS[3], "createdBy": BERT, "workspaceId": "", "number": "3"},
        {"_id": IDS[4], "createdBy": ANNA, "reviewerId": CARL, "number": "4"},
        {"_id": IDS[6], "createdBy": BERT, "number": "6"},
        {"_id": IDS[7], "createdBy": ANNA, "number": "7"},
    ]
    invoices.insert_many(documents)
    act(invoices)
    found = fingerprint(sync_database)
    invoices.drop()
    invoices.insert_many(documents)
    append = Journal.append_window

    async def append_and_be_overtaken(self, collection, groups, **options):
        seq = await append(self, collection, groups, **options)
        if collection == "invoices" and not done:
            done.append(act)
            act(invoices)
        return seq

    monkeypatch.setattr(Journal, "append_window", append_and_be_overtaken)
    return found


async def journaled(migration, run_id):
    """Id of each invoice that an entry names to the workspace it says was written, if one was."""
    journal = JournalReader(migration.store.database, run_id)
    return {
        identifier: group.changes["workspaceId"]
        async for entry in journal.entries()
        if entry.kind is EntryKind.WINDOW and entry.collection == "invoices"
        for group in entry.groups()
        if "workspaceId" in group.changes
        for identifier in group.ids
    }


def stamped(database):
    found = database["invoices"].find({"workspaceId": {"$type": "objectId"}})
    return {document["_id"]: document["workspaceId"] for document in found}


def homes(database):
    """Each user's workspace."""
    return {m["userId"]: m["organizationId"] for m in database["member"].find()}


async def test_nothing_is_stamped_but_what_is_journaled_with_that_very_value(
    uri, sync_database, race, expected
):
    """The second look sees what changed meanwhile, and stamps it by what it is by then."""
    registry, _ = race
    async with Migration(uri, registry=registry) as migration:
        result = await migration.apply()
        named = await journaled(migration, result.run_id)
    workspace_of = homes(sync_database)
    followed = {
        d["_id"]: BERT if "boardId" in d else d["createdBy"]
        for d in sync_database["invoices"].find({"createdBy": {"$ne": NOBODY}})
    }

    assert named == stamped(sync_database)
    assert {i: workspace_of[user] for i, user in followed.items()} == named


async def test_a_rollback_gives_back_every_byte_whatever_came_in_between(
    uri, sync_database, race, expected
):
    """And every user and organization goes, since nothing refers to them any more."""
    registry, _ = race
    async with Migration(uri, registry=registry) as migration:
        await migration.apply()
    async with Migration(uri, registry=registry) as migration:
        await migration.rollback()

    assert [] == changes(expected, fingerprint(sync_database, run_records=False))


@pytest.mark.slow
@pytest.mark.parametrize("then", ["taken back", "finished and taken back"])
async def test_a_run_killed_in_between_leaves_nothing_unjournaled(
    uri, sync_database, race, expected, done, monkeypatch, then
):
    """Whoever finishes or takes back what it wrote knows every document."""
    registry, _ = race
    applied = Journal.applied_window

    async def die(self, *args, **options):
        if done:
            raise InterruptedRunError("Killed.")
        await applied(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "applied_window", die)
        async with Migration(uri, registry=registry) as migration:
            with pytest.raises(InterruptedRunError):
                await migration.apply()
            (run,) = (await migration.status()).runs
            named = await journaled(migration, run.run_id)
    left = stamped(sync_database)
    if then != "taken back":
        async with Migration(uri, registry=registry) as migration:
            await migration.apply()
    async with Migration(uri, registry=registry) as migration:
        await migration.rollback()

    assert left.items() <= named.items()
    assert [] == changes(expected, fingerprint(sync_database, run_records=False))


async def test_a_collation_makes_no_two_values_the_same(database):
    """Where a collection calls different texts equal, what was read must be there all the same."""
    blurred = {"locale": "fr", "strength": 1}
    collection = await database.create_collection("c", collation=blurred)
    await collection.insert_many([{"_id": "a", "f": "RIEN"}, {"_id": "b", "f": "rien"}])
    group = JournalGroup({"f": 1}, {"f": "rien"}, ["a", "b"])
    async with leased(database, targets=["c"]) as session:
        outcome = await write_groups(session, "c", [group])

    assert ("a",) == outcome.changed
    assert ["b"] == [i for written in outcome.groups for i in written.ids]
    assert ["RIEN", 1] == [d["f"] async for d in collection.find().sort("_id", 1)]
