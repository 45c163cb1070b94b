"""Views, time series and capped collections where plain ones are expected, and odd indexes."""

from __future__ import annotations

import pytest
from bson import Decimal128, Int64
from fingerprints import changes, fingerprint
from small_legacy import BCRYPT, DAY, USERS, invoices, legacy_user

from newbi_migrate.checks import Level
from newbi_migrate.choices import Purpose
from newbi_migrate.errors import ExitCode, UnsupportedError, UsageError
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.report.messages import FINDINGS
from newbi_migrate.report.migration import plan_document
from newbi_migrate.store.collections import collections
from newbi_migrate.store.connection import open_database

TIME_SERIES = {"timeseries": {"timeField": "createdAt"}}
ODDITIES = {
    "a view": {"viewOn": "invoices", "pipeline": []},
    "a time series": TIME_SERIES,
    "a capped collection": {"capped": True, "size": 4096},
}


def counted(answer):
    """How many documents of each collection are quarantined."""
    return {name: summary.quarantined for name, summary in answer.collections.items()}


@pytest.fixture
def legacy(sync_database):
    """Two legacy users with three invoices each."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 3))
    return sync_database


async def test_a_listing_tells_what_each_collection_is(legacy, uri):
    """Kind, options and identity are the server's; one that was dropped and made again differs."""
    for name, options in ODDITIES.items():
        legacy.create_collection(name, **options)
    async with open_database(uri) as store:
        before = await collections(store.database)
        legacy.drop_collection("invoices")
        legacy.create_collection("invoices")
        after = await collections(store.database)

    assert {name: name for name in ODDITIES} == {n: before[n].oddity for n in ODDITIES}
    assert [False, False, True] == [before[n].holds_documents for n in ODDITIES]
    assert ("", True) == (before["Users"].oddity, before["Users"].holds_documents)
    assert before["Users"] == after["Users"]
    assert before["invoices"].uuid != after["invoices"].uuid
    assert ["system.buckets.a time series", "system.views"] == [
        name for name, info in before.items() if info.internal
    ]


async def test_what_nobody_described_is_listed_but_for_views(legacy, uri):
    """A view holds nothing of its own; a time series is listed, and not counted."""
    for name, options in ODDITIES.items():
        legacy.create_collection(name, **options)
    legacy["a capped collection"].insert_one({})
    legacy["a time series"].insert_one({"createdAt": DAY})
    async with Migration(uri) as migration:
        plan = await migration.plan()
    summary = plan_document(plan).summary

    assert {"a capped collection": 1, "a time series": None} == dict(plan.not_registered)
    assert (
        "Collections nobody described, left alone: a capped collection (1), "
        "a time series (a time series)." in summary
    )


@pytest.mark.parametrize("name", ["user", "account", "organization", "member"])
@pytest.mark.parametrize("oddity", ODDITIES)
async def test_users_are_written_to_plain_collections_alone(legacy, uri, name, oddity):
    """Where users could not be written and taken back, nothing at all is written."""
    legacy.create_collection(name, **ODDITIES[oddity])
    before = fingerprint(legacy)
    async with Migration(uri) as migration:
        for refused in (migration.plan, migration.apply, migration.backfill):
            with pytest.raises(UnsupportedError, match=f"{name!r} is {oddity}"):
                await refused()
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}

    assert [] == changes(before, fingerprint(legacy))
    assert Level.FAILED is checks["target-collections"].level
    assert oddity in checks["target-collections"].sentence


async def test_a_unique_index_that_refuses_new_users_is_named_in_the_plan(legacy, uri):
    """On a field that no new document has: nothing is written; a sparse one is in nobody's way."""
    legacy["user"].create_index("id", unique=True)
    before = fingerprint(legacy, run_records=False)
    async with Migration(uri) as migration:
        for refused in (migration.plan, migration.apply):
            with pytest.raises(UnsupportedError, match="unique index 'id_1' of 'user'"):
                await refused()
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}
        unchanged = changes(before, fingerprint(legacy, run_records=False))
        legacy["user"].drop_index("id_1")
        legacy["user"].create_index("id", unique=True, sparse=True)
        result = await migration.apply()

    assert [] == unchanged
    assert Level.FAILED is checks["target-collections"].level
    assert "id_1" in checks["target-collections"].sentence
    assert ExitCode.DONE == result.exit_code


async def test_a_view_that_cannot_be_read_is_named(legacy, uri):
    """Whoever made it in the place of a collection can repair it."""
    pipeline = [{"$project": {"number": {"$toInt": "$number"}, "total": {"$divide": [1, 0]}}}]
    legacy.create_collection("quotes", viewOn="invoices", pipeline=pipeline)
    async with Migration(uri) as migration:
        for refused in (migration.plan, migration.apply, migration.validate):
            with pytest.raises(UnsupportedError, match="The view 'quotes' cannot be read"):
                await refused()
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}

    assert Level.FAILED is checks["legacy-users"].level
    assert "The view 'quotes' cannot be read" in checks["legacy-users"].sentence


async def test_a_view_with_a_collation_stops_no_command(legacy, uri):
    """It takes no other, and compares nothing that matters here."""
    legacy.create_collection("quotes", viewOn="invoices", collation={"locale": "fr"})
    async with Migration(uri) as migration:
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}
        result = await migration.apply()
        report = await migration.validate()

    assert Level.FAILED is checks["registered-collections"].level
    assert ExitCode.DONE == result.exit_code
    assert report.is_clean


async def test_clustered_collections_are_plain(legacy, uri):
    """A collection clustered by its id is written like any other."""
    clustered = {"key": {"_id": 1}, "unique": True}
    for name in ("user", "account", "organization", "member"):
        legacy.create_collection(name, clusteredIndex=clustered)
    async with Migration(uri) as migration:
        result = await migration.apply()
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}

    assert ExitCode.DONE == result.exit_code
    assert Level.OK is checks["target-collections"].level
    assert Level.OK is checks["registered-collections"].level


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"viewOn": "offers", "pipeline": []}, "collection-is-a-view"),
        (TIME_SERIES, "collection-is-a-time-series"),
    ],
    ids=["view", "time series"],
)
async def test_documents_that_cannot_be_updated_wait_for_a_person(legacy, uri, options, code):
    """They are named, counted and quarantined, and all others are migrated."""
    legacy.create_collection("quotes", **options)
    right = {"workspaceId": organization_id(USERS[0])}
    offers = [*invoices(USERS[0], 2), *invoices(USERS[0], 1, **right)]
    legacy["offers" if "viewOn" in options else "quotes"].insert_many(offers)
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result = await migration.apply()
        again = await migration.apply()
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}
        notes = (await migration.validate()).notes
        indexes = await migration.indexes()
        await migration.finalize(keep=True, dry_run=True)
        with pytest.raises(UsageError, match=r"Quarantined documents .*: 2\."):
            await migration.finalize()

    assert code in FINDINGS
    for answer in (plan, result, again):
        assert ExitCode.QUARANTINED == answer.exit_code
        assert [("quotes", None)] == [
            (f.collection, f.id) for f in answer.findings if f.code == code
        ]
        # What is right already is no concern of anybody's.
        assert {("quotes", Reason.NOT_A_PLAIN_COLLECTION): 2} == answer.quarantine.counts()
        assert (3, 1, 2) == (
            answer.collections["quotes"].documents,
            answer.collections["quotes"].kept,
            answer.collections["quotes"].quarantined,
        )
    assert result.run_id is not None
    assert again.run_id is None
    assert 0 == legacy["invoices"].count_documents({"workspaceId": {"$exists": False}})
    assert Level.FAILED is checks["registered-collections"].level
    assert any("quotes is" in note for note in notes)
    assert "quotes" not in {one.collection for one in indexes.missing}


async def test_a_view_is_never_written_to_by_users_who_fail(legacy, uri):
    """A run that has to decide again about every document leaves the view alone."""
    legacy.create_collection("quotes", viewOn="invoices", pipeline=[])
    legacy.create_collection("user", validator={"email": {"$ne": "jeanne1@exemple.fr"}})
    async with Migration(uri) as migration:
        result = await migration.apply()

    # Those left are of the user who failed.
    assert ExitCode.QUARANTINED == result.exit_code
    assert 3 == legacy["invoices"].count_documents({"workspaceId": {"$exists": True}})
    assert {"invoices": 3} == counted(result)


@pytest.mark.parametrize("behind", ["invoices", "bills"])
async def test_what_a_view_shows_of_another_registered_collection_is_counted_there(
    legacy, uri, behind
):
    """By every command, also where a view is between them; only those of nobody are left."""
    legacy.create_collection("bills", viewOn="invoices", pipeline=[])
    legacy.create_collection("quotes", viewOn=behind, pipeline=[])
    legacy["invoices"].insert_many(invoices(legacy_user(7)["_id"], 2))
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result = await migration.apply()
        again = await migration.plan()
        report = await migration.validate()
        status = await migration.status()
        checks = (await migration.doctor(purpose=Purpose.FINALIZE, watch=0)).checks

    for answer in (plan, result, again):
        assert {"invoices": 2} == counted(answer)
        assert {("invoices", Reason.OWNER_UNKNOWN): 2} == answer.quarantine.counts()
        assert "collection-is-a-view" in {finding.code for finding in answer.findings}
    assert ExitCode.QUARANTINED is result.exit_code
    assert (ExitCode.DONE, 2) == (report.exit_code, report.quarantined)
    assert {"invoices": 2} == status.without_workspace == status.quarantined
    assert Level.OK is next(check.level for check in checks if check.id == "late-work")


async def test_a_view_whose_collection_is_left_out_waits_for_a_person(legacy, uri):
    """Nothing is written to what it shows, so its documents are counted as they are."""
    legacy.create_collection("quotes", viewOn="invoices", pipeline=[])
    options = MigrationOptions(collections=("quotes",))
    async with Migration(uri, options=options) as migration:
        plan = await migration.plan()
        result = await migration.apply()

    assert {"quotes": 6} == counted(plan) == counted(result)
    assert {("quotes", Reason.NOT_A_PLAIN_COLLECTION): 6} == result.quarantine.counts()


async def test_a_capped_collection_of_documents_is_stamped(legacy, uri):
    """What the server lets be updated is updated; doctor says that it grows."""
    legacy.create_collection("quotes", capped=True, size=1 << 20)
    legacy["quotes"].insert_many(invoices(USERS[0], 20))
    async with Migration(uri) as migration:
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}
        result = await migration.apply()

    assert ExitCode.DONE == result.exit_code
    assert 20 == legacy["quotes"].count_documents({"workspaceId": organization_id(USERS[0])})
    assert Level.WARNING is checks["registered-collections"].level


@pytest.mark.parametrize("named", ["Users", None])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"viewOn": "people", "pipeline": []}, "--legacy-collection people"),
        (TIME_SERIES, "Copy the legacy users"),
    ],
    ids=["view", "time series"],
)
async def test_legacy_users_behind_a_view_are_said_to_be(sync_database, uri, named, options, said):
    """A view or time series is not called missing, and the collection behind a view is named."""
    sync_database["people"].insert_one({"email": "lea@exemple.fr", "password": BCRYPT})
    sync_database.create_collection("Users", **options)
    async with Migration(uri, options=MigrationOptions(legacy_collection=named)) as migration:
        with pytest.raises(UsageError, match=r"'Users' is a (view|time series)") as refused:
            await migration.plan()
        checks = {check.id: check for check in (await migration.doctor(watch=0)).checks}

    assert said in refused.value.next_step
    assert Level.FAILED is checks["legacy-users"].level


async def test_a_view_beside_the_legacy_users_does_not_hinder(legacy, uri):
    """A view under the other candidate's name is not taken for a second collection of users."""
    legacy.create_collection("users", viewOn="Users", pipeline=[])
    async with Migration(uri) as migration:
        plan = await migration.plan()

    assert ("Users", 2) == (plan.source, len(plan.users))


async def test_indexes_of_any_direction_stop_no_step(legacy, uri):
    """Servers took any number, and some of today do; they stay as they are, forward and back."""
    directions = [0.5, -3.5, 1e300, float("inf"), Decimal128("2.5"), Int64(1)]
    for number, direction in enumerate(directions):
        index = {"key": {f"odd{number}": direction}, "name": f"i{number}"}
        legacy.command("createIndexes", "invoices", indexes=[index])
    before = fingerprint(legacy)
    async with Migration(uri) as migration:
        await migration.apply(await migration.plan())
        migrated = await migration.indexes(apply=True)
        report = await migration.validate()
        kept = {index["name"] for index in legacy["invoices"].list_indexes()}
        await migration.rollback_all()

    assert ExitCode.DONE == report.exit_code == migrated.exit_code
    assert {f"i{number}" for number in range(len(directions))} <= kept
    assert [] == changes(before, fingerprint(legacy, run_records=False))
