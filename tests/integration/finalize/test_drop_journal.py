"""The journal is dropped last of all, and only once all else is done."""

from __future__ import annotations

import pytest
from small_legacy import USERS, invoices, legacy_user

from newbi_migrate.cli.next_steps import after_finalize
from newbi_migrate.migration.facade import Migration
from newbi_migrate.report.finalize import finalize_document


@pytest.fixture
def legacy(sync_database):
    """Two users with two invoices each."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(2)])
    for user in USERS[:2]:
        sync_database["invoices"].insert_many(invoices(user, 2))
    return sync_database


@pytest.fixture
async def migration(uri):
    async with Migration(uri) as opened:
        yield opened


def said(result):
    return repr(finalize_document(result).sections)


async def test_dropped_later_it_is_shown_beforehand_and_nothing_else_is_called_dropped(
    legacy, migration
):
    """The legacy users are gone already; once the journal is gone too, nothing is left."""
    await migration.apply()
    await migration.finalize()
    looked = await migration.finalize(drop_journal=True, dry_run=True)
    named = after_finalize(looked, [], await migration.runs())
    done = await migration.finalize(drop_journal=True, reviewed=looked)
    again = await migration.finalize(drop_journal=True, dry_run=True)

    assert "newbi-migrate finalize --drop-journal" == named
    assert "The journal would go" in said(looked)
    assert "The journal is gone" in said(done)
    assert "legacy user" not in said(looked) + said(done)
    assert (None, None) == (looked.legacy, done.legacy)
    assert (True, True) == (done.journal_dropped, again.nothing_left)
