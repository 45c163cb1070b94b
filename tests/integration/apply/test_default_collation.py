"""Collections that call different texts equal are migrated, ended and taken back as others are."""

from __future__ import annotations

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from leases import leased
from little import little_legacy
from small_legacy import USERS, legacy_user

from newbi_migrate.mapping.users import SetMissing
from newbi_migrate.migration.facade import Migration
from newbi_migrate.store.raw import element_of
from newbi_migrate.store.user_documents import writing_together

# Neither case nor accents count, nor blanks and punctuation: "" equals "-".
BLURRED = {"locale": "fr", "strength": 1, "alternate": "shifted"}
NAMES = ["Users", "user", "account", "organization", "member"]
NAMES += ["invoices", "clients", "boards", "columns", "quotes"]


def fill(database, collation):
    """A little of everything, among it what is told apart by case alone."""
    if collation:
        for name in NAMES:
            database.create_collection(name, collation=collation)
    little_legacy(database)
    database["Users"].insert_many(
        [
            legacy_user(4, email="Élodie@exemple.fr"),
            legacy_user(5, email="elodie@exemple.fr"),
        ]
    )
    database["user"].insert_one({"_id": USERS[6], "email": "x@exemple.fr", "phone": ""})
    database["invoices"].insert_many(
        [
            {"_id": ObjectId(f"64d0{n:020x}"), "createdBy": owner, "number": number}
            for n, (owner, number) in enumerate(
                [
                    (USERS[4], "F-a"),
                    (USERS[4], "F-A"),
                    (USERS[4], "f a"),
                    (str(USERS[5]), "é"),
                    (str(USERS[5]).upper(), "e"),
                ]
            )
        ]
    )


async def story(uri):
    """Exit codes of the whole way there, and what was counted on it."""
    async with Migration(uri) as migration:
        plan = await migration.plan()
        done = await migration.apply(plan)
        again = await migration.apply()
        indexes = [await migration.indexes(apply=True) for _ in range(2)]
        report = await migration.validate()
    codes = [one.exit_code for one in (plan, done, again, *indexes, report)]
    return codes, done.created, done.quarantine.counts(), {v.rule for v in report.violations}


def documents_of(database):
    """Digests of all documents, by collection; one that is empty counts as one that is absent."""
    found = fingerprint(database, run_records=False)
    return {name: part["documents"] for name, part in found.items() if part["documents"]}


@pytest.mark.slow
async def test_a_default_collation_changes_no_answer_and_no_byte(
    servers, mongod, uri, sync_database
):
    """There and back, whichever texts the collections call equal."""
    plain = sync_database.client[f"{sync_database.name}p"]
    try:
        fill(plain, None)
        expected = await story(mongod.uri_for(plain.name)), documents_of(plain)
    finally:
        servers.drop(plain.name)
    fill(sync_database, BLURRED)
    before = fingerprint(sync_database)
    ended = await story(uri), documents_of(sync_database)
    async with Migration(uri) as migration:
        await migration.rollback_all()

    assert expected == ended
    assert [] == changes(before, fingerprint(sync_database, run_records=False))


@pytest.mark.parametrize(("read", "now"), [("", "-"), ("a", "Á")])
async def test_what_somebody_filled_in_meanwhile_is_not_written_over(database, read, now):
    """A collection may call it equal to what was read."""
    users = await database.create_collection("user", collation=BLURRED)
    await users.insert_one({"_id": USERS[0], "phone": now})
    stored = {"phone": element_of(read)}
    fill_in = SetMissing("user", USERS[0], {"phone": "0601020304"}, {"phone": read}, stored)
    async with leased(database, targets=["user"]) as session, writing_together(session) as writer:
        done = await writer.write([fill_in])

    assert [fill_in] == done.skipped
    assert now == (await users.find_one())["phone"]
