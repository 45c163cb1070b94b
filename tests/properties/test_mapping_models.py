"""A legacy user as models: the same documents that a migration writes."""

from __future__ import annotations

import pytest
from bson import ObjectId
from hypothesis import given
from small_worlds import Database

from newbi_migrate import migrated_user
from newbi_migrate.documents.better_auth import User
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.rules import Severity
from newbi_migrate.testing import check_mapping_laws, strategies


def made(document):
    """What is made of a stored document; nothing where they would be quarantined."""
    try:
        return migrated_user(LegacyUser.load(document))
    except ValueError:
        return None


@given(document=strategies.legacy_users(dirty=True))
def test_models_are_what_a_migration_writes_for_whoever_is_alone(document):
    """Byte for byte, and with the same findings."""
    (written,) = Database().plan([document])
    found = made(document)

    if found is None:
        assert () == written.writes
        return
    documents = {w.collection: w.document for w in written.writes}
    models = {"user": found.user, "organization": found.organization, "member": found.member}
    models |= {} if found.account is None else {"account": found.account}
    assert documents == {name: model.to_document() for name, model in models.items()}
    assert written.findings == found.findings


@given(document=strategies.documents(LegacyUser))
def test_a_legacy_user_who_keeps_the_rules_becomes_four_models_that_keep_them(document):
    """The critical ones: what a person should look at is for the findings to tell."""
    found = made(document)

    if found is not None:
        models = (found.user, found.organization, found.member, found.account)
        told = [v for model in models if model is not None for v in model.violations()]
        assert [] == [v for v in told if v.severity is Severity.CRITICAL]


def test_the_mapping_of_users_keeps_the_laws_of_a_migration():
    """Pure, the same answer twice, no document for which it raises, the id as it was."""

    def mapping(document):
        found = made(document)
        return None if found is None else found.user.to_document()

    check_mapping_laws(mapping, LegacyUser, target=User, max_examples=30)


def test_a_legacy_user_who_would_be_quarantined_is_refused_with_the_reason():
    """Without an address nobody can be told from others."""
    with pytest.raises(ValueError, match=r"^email-missing$"):
        migrated_user(LegacyUser.load({"_id": ObjectId(), "email": " "}))
