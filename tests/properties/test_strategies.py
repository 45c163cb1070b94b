"""What the strategies promise to those who use them."""

from __future__ import annotations

import bson
from hypothesis import given, strategies as st

from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.mapping.workspace import Reason, workspace_of
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


@given(strategies.workspaces())
def test_drawn_workspaces_agree_with_themselves(workspaces):
    """Homes exist and belong to members, aliases lead to users, and reasons are true."""
    for user, workspace in workspaces.by_user.items():
        assert user in workspaces.users
        assert isinstance(workspace, Reason) or (
            workspace in workspaces.organizations and workspaces.is_member(user, workspace)
        )
    assert set(workspaces.aliases.values()) <= set(workspaces.by_user)


@given(st.data())
def test_a_membership_is_of_those_it_is_drawn_from(data):
    """Users and organizations are the caller's, and a sole membership gives the workspace."""
    user, organization = data.draw(strategies.object_ids()), data.draw(strategies.object_ids())
    drawn = data.draw(strategies.memberships(st.just(user), st.just(organization)))

    assert (user, organization) == (drawn.user_id, drawn.organization_id)
    assert organization == workspace_of([drawn])
