"""How the ids of created documents follow from the user's id."""

from __future__ import annotations

import pytest
from bson import ObjectId

from newbi_migrate.mapping import ids

USER = ObjectId("64b000000000000000000001")
# Written down once: another derivation would orphan what earlier runs created.
DERIVED = {
    "organization_id": ObjectId("64b0000092fc06b03c3160ac"),
    "member_id": ObjectId("64b0000073b35a2932e271a0"),
    "account_id": ObjectId("64b00000618eafe4da5ec561"),
}


@pytest.mark.parametrize(("name", "expected"), DERIVED.items())
def test_the_derivation_of_an_id_never_changes(name, expected):
    """An organization, a membership and an account have the ids that every version gave them."""
    assert expected == getattr(ids, name)(USER)


def test_a_kind_of_document_has_ids_of_its_own():
    """Two kinds of document never share an id, even for the same user."""
    found = [ids.organization_id(USER), ids.member_id(USER), ids.account_id(USER), USER]

    assert sorted(set(found)) == sorted(found)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("organization_id", "organization"),
        ("member_id", "member"),
        ("account_id", "account:credential"),
    ],
)
def test_an_id_is_derived_from_the_kind_it_is_named_after(name, kind):
    """The named ids are those of the general derivation."""
    assert ids.derive_id(kind, USER) == getattr(ids, name)(USER)


@pytest.mark.parametrize("kind", ["organization", "member", "account:credential", "é", ""])
def test_a_derived_id_is_as_old_as_its_user(kind):
    """The creation time inside a derived id is that of the user."""
    assert USER.generation_time == ids.derive_id(kind, USER).generation_time
    assert USER != ids.derive_id(kind, USER)
