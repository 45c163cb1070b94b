"""What the strategies promise to those who use them."""

from __future__ import annotations

import bson
from hypothesis import given, strategies as st

from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.mapping.workspace import Reason, home_of
from newbi_migrate.testing import strategies


@given(strategies.bson_documents())
def test_any_drawn_document_can_be_stored(document):
    """BSON can hold it, and it has an identity."""
    assert "_id" in bson.decode(
        bson.encode(document),
        bson.CodecOptions(datetime_conversion=bson.codec_options.DatetimeConversion.DATETIME_AUTO),
    )


@given(strategies.legacy_users())
def test_a_clean_legacy_user_is_valid(document):
    """Unless told otherwise, a drawn user breaks no rule."""
    assert [] == LegacyUser.violations_of(document)


@given(strategies.directories())
def test_a_directory_agrees_with_itself(directory):
    """Homes exist and belong to members, aliases lead to users, and reasons are true."""
    for user, home in directory.homes.items():
        assert user in directory.users
        assert isinstance(home, Reason) or (
            home in directory.organizations and directory.is_member(user, home)
        )
    assert set(directory.aliases.values()) <= set(directory.homes)


@given(st.data())
def test_a_membership_is_of_those_it_is_drawn_from(data):
    """Users and organizations are the caller's, and a sole membership is a home."""
    user, organization = data.draw(strategies.object_ids()), data.draw(strategies.object_ids())
    drawn = data.draw(strategies.memberships(st.just(user), st.just(organization)))

    assert (user, organization) == (drawn.user_id, drawn.organization_id)
    assert organization == home_of([drawn])
