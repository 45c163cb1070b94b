"""Users whom the server refuses, on a server without transactions, in a run that is killed.

A unique index stands in the way of one of the documents of one user. A batch of users is then taken
back and written user by user; whatever moment the process dies at, nobody is left half written.
"""

from __future__ import annotations

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from little import little_legacy
from small_legacy import USERS
from traces import differences, expire_lease, trace

MIGRATE = ("migrate", "--confirm")
ROLLBACK = ("rollback", "--confirm", "--all")
DONE, QUARANTINED, INTERRUPTED = 0, 5, 7
REFUSED = USERS[1]
ELSEWHERE = ObjectId(f"64e0{0:020x}")


def user_refused(database):
    """Somebody has the name of the refused user, and names are unique there."""
    database["user"].insert_one({"_id": ELSEWHERE, "name": "Jeanne Dupont-1", "email": "j@x.fr"})
    database["user"].create_index("name", unique=True)


def account_refused(database):
    """The refused user signs in with Google, and has one account and no more."""
    account = {"_id": ELSEWHERE, "userId": REFUSED, "providerId": "google", "accountId": "1"}
    database["account"].insert_one(account)
    database["account"].create_index("userId", unique=True)


def organization_refused(database):
    """An organization has the name of theirs, and names are unique there."""
    organization = {"_id": ELSEWHERE, "name": "Atelier 1", "slug": "un-atelier"}
    database["organization"].insert_one(organization)
    database["organization"].create_index("name", unique=True)


def member_refused(database):
    """The refused user is a member elsewhere, and nobody is one of two organizations."""
    database["organization"].insert_one({"_id": ELSEWHERE, "name": "Ailleurs", "slug": "ailleurs"})
    member = {"_id": ELSEWHERE, "userId": REFUSED, "organizationId": ELSEWHERE, "role": "member"}
    database["member"].insert_one(member)
    database["member"].create_index("userId", unique=True)


def filled_and_refused(database):
    """The refused user exists and lacks fields, which are filled before the account is refused."""
    database["user"].insert_one({"_id": REFUSED, "name": None, "email": "jeanne1@exemple.fr"})
    account_refused(database)


WAYS = [user_refused, account_refused, organization_refused, member_refused, filled_and_refused]


def database_with(way):
    def fill(database):
        little_legacy(database)
        way(database)

    return fill


def while_users_are_written(run):
    """The write commands from the first insert of a user to the first stamp of a document."""
    first = run.commands.index("insert user") if "insert user" in run.commands else None
    last = run.commands.index("update invoices")
    assert first is not None
    return range(first + 1, last + 1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_nobody_is_left_half_written_by_a_run_that_is_killed(mongod, fresh, processes, sample, way):
    """The same command ends in the bytes, the reports and the journal of a run that was not."""
    database, uri = fresh(mongod, database_with(way))
    before = fingerprint(database)
    whole = processes.run(uri, *MIGRATE)
    expected = trace(database)
    everywhere = [(n, w) for n in while_users_are_written(whole) for w in ("before", "after")]
    # Once the last documents were written that are not refused, most is there that can be.
    most = whole.commands.index(f"insert {way.__name__.split('_')[0]}".replace("filled", "account"))
    wrong = {}
    for at, when in {
        (most, "after"),
        *sample.of("migrate with refused users: killed, run again, taken back", everywhere, 3),
    }:
        database, uri = fresh(mongod, database_with(way))
        assert processes.run(uri, *MIGRATE, at=at, when=when).killed
        expire_lease(database)
        again = processes.run(uri, *MIGRATE)
        found = differences(expected, trace(database))
        back = processes.run(uri, *ROLLBACK)
        left = changes(before, fingerprint(database, run_records=False))
        if (again.status, found, back.status, left) != (whole.status, [], DONE, []):
            wrong[at, when] = (again.status, again.stderr, found, back, left)
        database.client.drop_database(database.name)

    assert QUARANTINED == whole.status
    assert not wrong, f"{sample}: {wrong}"
