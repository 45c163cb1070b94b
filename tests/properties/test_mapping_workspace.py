"""Laws of the resolution of a workspace, for any stored values and anybody who may own them."""

from __future__ import annotations

from copy import deepcopy

import bson
from bson import ObjectId
from hypothesis import given, strategies as st

from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import CollectionSpec, IdType, ParentLink
from newbi_migrate.mapping.values import ABSENT, IdForm, read_id
from newbi_migrate.mapping.workspace import (
    Action,
    Reason,
    Resolution,
    WorkspaceClass,
    resolve,
    workspace_of,
)
from newbi_migrate.testing import strategies

SPECS = [
    *NEWBI,
    CollectionSpec("metrics", None, IdType.OBJECT_ID),
    CollectionSpec("cards", "owner", IdType.STRING, parent=ParentLink("board", "boards")),
    CollectionSpec("notes", "owner", IdType.OBJECT_ID, alias_fields=("reader", "author")),
]
LEFT = {WorkspaceClass.VALID, WorkspaceClass.FOREIGN}


def forms_of(identifier):
    return st.sampled_from(
        [identifier, str(identifier), str(identifier).upper(), {"$oid": str(identifier)}]
    )


@st.composite
def cases(draw):
    """A collection, who is who, what a document holds, and the workspace of its parent."""
    spec = draw(st.sampled_from(SPECS))
    workspaces = draw(strategies.workspaces())
    known = sorted(workspaces.users | workspaces.organizations | set(workspaces.aliases))
    stored = st.one_of(
        st.sampled_from(known).flatmap(forms_of),
        st.just(ABSENT),
        st.just(ABSENT),
        st.sampled_from([None, "", " "]),
        strategies.bson_values(nan=False),
    )
    users = {name: value for name in spec.user_fields if (value := draw(stored)) is not ABSENT}
    parent = None
    if spec.parent is not None and draw(st.booleans()):
        parent = draw(st.sampled_from(sorted(workspaces.organizations)))
    return spec, workspaces, draw(stored), users, parent


def resolved(case, **options):
    spec, workspaces, stored, users, parent = case
    return resolve(spec, workspaces, stored=stored, users=users, parent_workspace=parent, **options)


def after(case, resolution):
    """The same document once the resolution has been carried out."""
    spec, workspaces, stored, users, parent = case
    changes = dict(resolution.changes)
    return spec, workspaces, changes.pop("workspaceId", stored), {**users, **changes}, parent


@given(case=cases(), rewrite=st.booleans())
def test_every_document_is_decided_about(case, rewrite):
    """Whatever is stored, one action follows, with changes or a reason exactly where it says."""
    found = resolved(case, rewrite_owners=rewrite)

    assert (found.action is Action.STAMP) == bool(found.changes)
    assert (found.action is Action.QUARANTINE) == (found.reason is not None)
    assert (found.stored is None) == (case[0].workspace_type is None)
    assert found.stored is not WorkspaceClass.FOREIGN or found.action is Action.QUARANTINE


@given(case=cases(), rewrite=st.booleans())
def test_the_same_document_is_decided_in_the_same_way(case, rewrite):
    """A decision depends on nothing else, and changes nothing it was given."""
    before = deepcopy(case)
    found = resolved(case, rewrite_owners=rewrite)

    assert found == resolved(before, rewrite_owners=rewrite)
    assert bson.encode({"": before[3]}) == bson.encode({"": case[3]})


@given(case=cases(), rewrite=st.booleans())
def test_a_document_that_was_stamped_is_right(case, rewrite):
    """Deciding again finds nothing to do: the workspace is valid, no owner is an alias."""
    found = resolved(case, rewrite_owners=rewrite)
    again = resolved(after(case, found), rewrite_owners=rewrite)

    if found.action is Action.QUARANTINE:
        assert found == again
    else:
        scoped = case[0].scoped
        assert Resolution(WorkspaceClass.VALID if scoped else None, Action.KEEP) == again


@given(case=cases(), rewrite=st.booleans())
def test_what_is_valid_or_foreign_is_never_written_over(case, rewrite):
    """Only the other six classes get a workspace."""
    found = resolved(case, rewrite_owners=rewrite)

    assert not (found.stored in LEFT and "workspaceId" in found.changes)
    assert set(found.changes) <= {"workspaceId", *case[0].user_fields}


@given(case=cases())
def test_a_workspace_has_the_type_of_its_collection_and_exists(case):
    """Whatever was stored, an ObjectId or its 24 digits is written, of an organization there is."""
    spec, workspaces, *_ = case
    value = resolved(case).changes.get("workspaceId", ABSENT)

    if value is not ABSENT:
        assert (ObjectId if spec.workspace_type is IdType.OBJECT_ID else str) is type(value)
        assert ObjectId(value) in workspaces.organizations
        assert str(value) == str(ObjectId(value))


@given(case=cases())
def test_a_child_is_where_its_parent_is_or_is_quarantined(case):
    """There is no third outcome once the parent's workspace is known."""
    found = resolved(case)
    _, _, stored, _, parent = after(case, found)

    if parent is not None:
        assert read_id(stored).value == parent or found.reason is Reason.PARENT_ELSEWHERE


@given(case=cases())
def test_without_a_parent_a_document_is_where_its_owner_is(case):
    """A stamped workspace is the owner's, or one they are in that was of the wrong type."""
    spec, workspaces, _, users, parent = case
    found = resolved(case)
    owner = read_id(users.get(spec.owner_field, ABSENT)).value

    if parent is None and "workspaceId" in found.changes and owner is not None:
        given_ = ObjectId(found.changes["workspaceId"])
        if found.stored is WorkspaceClass.WRONG_TYPE:
            assert workspaces.is_member(owner, given_)
        else:
            assert workspaces.of_user(owner) == given_


@given(case=cases())
def test_an_owner_changes_only_to_who_took_their_place_and_in_their_form(case):
    """Every rewritten field named an alias, and names the user it became, in the same form."""
    _, workspaces, _, users, _ = case

    for name, value in resolved(case).changes.items():
        if name != "workspaceId":
            was, is_now = read_id(users[name]), read_id(value)
            assert workspaces.aliases[was.value] == is_now.value
            assert was.form is is_now.form


@given(case=cases())
def test_keeping_owners_changes_nothing_else(case):
    """Class, reason and workspace are the same whether owners are rewritten or not."""
    rewritten, kept = resolved(case), resolved(case, rewrite_owners=False)

    assert (rewritten.stored, rewritten.reason) == (kept.stored, kept.reason)
    assert rewritten.changes.get("workspaceId") == kept.changes.get("workspaceId")
    assert kept.changes.keys() <= {"workspaceId"}


@given(case=cases())
def test_an_owner_is_the_same_in_every_form(case):
    """The owner's id as an ObjectId decides what it decides as text or as Extended JSON."""
    spec, workspaces, stored, users, parent = case
    owner = read_id(users.get(spec.owner_field, ABSENT))
    found = resolved(case)

    if owner.value is not None:
        plain = {**users, spec.owner_field: owner.value}
        other = resolved((spec, workspaces, stored, plain, parent))
        assert (found.stored, found.action, found.reason) == (
            other.stored,
            other.action,
            other.reason,
        )
        assert found.changes.keys() == other.changes.keys()


@given(case=cases())
def test_the_class_says_what_is_stored(case):
    """Each class is told from the stored value and from who is who, and from nothing else."""
    spec, workspaces, stored, _, _ = case
    found = resolved(case).stored
    meant = read_id(stored)
    expected = set()
    if not spec.scoped:
        expected = {None}
    elif stored is ABSENT:
        expected = {WorkspaceClass.MISSING}
    elif stored is None:
        expected = {WorkspaceClass.NULL}
    elif isinstance(stored, str) and not stored.strip():
        expected = {WorkspaceClass.BLANK}
    elif meant.value in workspaces.organizations:
        right = IdForm.OBJECT_ID if spec.workspace_type is IdType.OBJECT_ID else IdForm.HEX_STRING
        exact = meant.form is right and str(stored) == str(meant.value)
        expected = {
            WorkspaceClass.FOREIGN,
            WorkspaceClass.VALID if exact else WorkspaceClass.WRONG_TYPE,
        }
    elif meant.value in workspaces.users:
        expected = {WorkspaceClass.USER_ID}
    else:
        expected = {WorkspaceClass.DANGLING}

    assert found in expected


@given(seen=st.lists(strategies.memberships(strategies.object_ids(), strategies.object_ids())))
def test_a_home_is_one_of_the_memberships_and_does_not_depend_on_their_order(seen):
    """An organization the user is in, or a reason; going through them backwards is the same."""
    workspace = workspace_of(seen)

    assert workspace in {m.organization_id for m in seen} or isinstance(workspace, Reason)
    assert (workspace is Reason.OWNER_WITHOUT_WORKSPACE) == (not seen)
    assert workspace == workspace_of(reversed(seen))
