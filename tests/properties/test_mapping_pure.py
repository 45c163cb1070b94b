"""Laws of the small pure functions: ids, addresses, slugs, texts, dates, merges, companies."""

from __future__ import annotations

from copy import deepcopy
from itertools import islice

import bson
from bson import ObjectId
from hypothesis import given, strategies as st

from newbi_migrate.documents.better_auth import COMPANY_GUARD_FIELDS, Account, Organization
from newbi_migrate.documents.fields import Slug
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.shapes import shape_of
from newbi_migrate.mapping import ids, values
from newbi_migrate.mapping.account import PasswordKind, account_document, password_kind
from newbi_migrate.mapping.email import is_normalised, normalise_email
from newbi_migrate.mapping.merge import fill_missing
from newbi_migrate.mapping.numbers import number_text
from newbi_migrate.mapping.organization import (
    company_fields,
    company_fields_missing,
    incomplete_fields,
)
from newbi_migrate.mapping.slug import choose_slug, slug_candidates
from newbi_migrate.mapping.user import NOT_CARRIED, created_at, user_document
from newbi_migrate.mapping.values import ABSENT, IdForm, get_path, is_missing, read_id, write_id
from newbi_migrate.rules import Severity
from newbi_migrate.testing import strategies
from newbi_migrate.testing.field_values import accepts

anything = st.one_of(st.just(ABSENT), strategies.bson_values())
addresses = st.one_of(
    st.text(max_size=20), st.from_regex(r"[ A-Za-zÀ-ÿ.+]{0,5}@?[A-Za-zİΣß.]{0,8}", fullmatch=True)
)
users = strategies.object_ids()
SLUG = shape_of(Slug)
DERIVE = (ids.organization_id, ids.member_id, ids.account_id)


def same_bytes(one, other):
    return bson.encode({"": one}) == bson.encode({"": other})


# -- ids ----------------------------------------------------------------------------------------


@given(found=st.lists(users, max_size=5, unique=True))
def test_derived_ids_are_distinct_for_every_user_and_kind(found):
    """No two documents that a migration creates share an id, nor one with a user."""
    derived = [derive(user) for user in found for derive in DERIVE]

    assert len(derived) == len({*derived} - {*found})
    assert derived == [derive(user) for user in found for derive in DERIVE]
    assert {ObjectId} == {ObjectId, *map(type, derived)}


@given(user=users, kinds=st.lists(st.text(max_size=10), min_size=2, max_size=2, unique=True))
def test_a_derived_id_depends_on_its_kind(user, kinds):
    """It sorts with its user: the creation time is the same."""
    one, other = (ids.derive_id(kind, user) for kind in kinds)

    assert one != other
    assert user.binary[:4] == one.binary[:4] == other.binary[:4]


# -- addresses and slugs ------------------------------------------------------------------------


@given(value=st.one_of(addresses, anything))
def test_normalising_an_address_again_changes_nothing(value):
    """What is normal stays; it has no blanks around it, no capitals, and is not empty."""
    normal = normalise_email(value)

    if normal is None:
        assert not is_normalised(value)
    else:
        assert normal == normalise_email(normal)
        assert is_normalised(normal)
        assert normal == values.trim(normal).lower() != ""


@given(user=users, number=st.integers(0, 12), others=st.sets(st.text(max_size=12)))
def test_a_slug_is_free_and_one_that_better_auth_takes(user, number, others):
    """Whatever is taken, the slug is not, keeps the rule of slugs, and ends in the user's id."""
    taken = others | set(islice(slug_candidates(user), number))
    slug = choose_slug(user, taken)

    assert slug not in taken
    assert accepts(SLUG, slug)
    assert str(user).endswith(slug.removeprefix("org-").split("-")[0])
    assert slug == choose_slug(user, taken)


@given(found=st.lists(users, max_size=12, unique=True))
def test_slugs_given_one_after_the_other_are_distinct(found):
    """No two organizations get one slug."""
    taken = set()
    for user in found:
        taken.add(choose_slug(user, taken))

    assert len(found) == len(taken)


# -- values -------------------------------------------------------------------------------------


@given(value=anything)
def test_a_reader_answers_for_any_value(value):
    """Nothing that is stored makes a reader raise, and each answers in its own type or not."""
    assert type(values.text(value)) in (str, type(None))
    assert values.flag(value) is (value if type(value) is bool else None)
    assert (values.legacy_flag(value) is None) >= values.is_missing(value)
    assert (values.text(value) is None) >= values.is_missing(value)
    date = values.date_of(value)
    assert date is None or (date.utcoffset().total_seconds() == 0 and date.microsecond % 1000 == 0)
    assert (password_kind(value) is PasswordKind.NONE) >= values.is_missing(value)
    assert password_kind(value).is_hash <= (type(value) is str)
    shown = number_text(value)
    assert shown is None or (type(value) is not bool and float(shown) == float(str(value)))


@given(value=anything)
def test_a_date_that_was_read_is_read_as_itself(value):
    """Reading again changes nothing, also after MongoDB has stored it."""
    date = values.date_of(value)

    assert date == values.date_of(date)
    if date is not None:
        assert date == values.date_of(bson.decode(bson.encode({"": date}))[""])


@given(value=st.one_of(anything, users, users.map(str)), user=users)
def test_an_id_is_written_as_it_was_read(value, user):
    """Reading what was written gives the same id in the same form."""
    stored = read_id(value)
    known = (stored.value is None) == (
        stored.form in (IdForm.NULL, IdForm.MISSING, IdForm.MALFORMED)
    )

    assert known
    if stored.value is not None:
        assert stored == read_id(write_id(stored.value, stored.form))
        assert values.StoredId(user, stored.form) == read_id(write_id(user, stored.form))


# -- merges -------------------------------------------------------------------------------------

few = st.sampled_from(["a", "b", "_id", "address", "createdAt", "a.b", "$c", ""])
leaves = st.sampled_from([None, "", " ", "x", "y", 0, 1, False, [], ["x"]])
merged = st.dictionaries(
    few,
    st.recursive(leaves, lambda inner: st.dictionaries(few, inner, max_size=3), max_leaves=8),
    max_size=5,
)
pairs = st.tuples(merged, merged)


def carry_out(document, merge):
    filled = deepcopy(document)
    for path, value in merge.values.items():
        *way, name = path.split(".")
        inner = filled
        for step in way:
            inner = inner[step]
        inner[name] = deepcopy(value)
    return filled


def stored_at(document, path):
    return get_path(document, *path.split("."))


@given(pair=pairs)
def test_a_fill_overwrites_nothing_and_remembers_what_was_there(pair):
    """Every path that is written held nothing, and what said nothing there is in prior."""
    have, want = pair
    merge = fill_missing(have, want)

    for path, value in merge.values.items():
        stored = stored_at(have, path)
        assert is_missing(stored)
        assert not is_missing(value)
        assert (path in merge.prior) == (stored is not ABSENT)
        assert path not in merge.prior or same_bytes(stored, merge.prior[path])
    assert merge.prior.keys() <= merge.values.keys()


@given(pair=pairs)
def test_filling_again_fills_nothing(pair):
    """Once carried out nothing is missing, and the same contradictions are left."""
    have, want = pair
    merge = fill_missing(have, want)
    again = fill_missing(carry_out(have, merge), want)

    assert ({}, {}, merge.conflicts) == (again.values, again.prior, again.conflicts)


@given(pair=pairs)
def test_a_fill_and_what_was_there_before_give_the_document_back(pair):
    """Taking out what was filled, and putting back what said nothing, is the way back."""
    have, want = pair
    merge = fill_missing(have, want)
    filled = carry_out(have, merge)
    for path in merge.values:
        *way, name = path.split(".")
        inner = get_path(filled, *way)
        if path in merge.prior:
            inner[name] = merge.prior[path]
        else:
            del inner[name]

    assert same_bytes(have, filled)


@given(document=merged, other=merged)
def test_a_document_lacks_nothing_of_itself_or_of_nothing(document, other):
    """No fill and no contradiction between a document and itself; and nothing is changed."""
    before = deepcopy((document, other))
    fill_missing(document, other)

    assert not fill_missing(document, document).values
    assert () == fill_missing(document, document).conflicts
    assert not fill_missing(document, {}).values
    assert same_bytes(before[0], document)
    assert same_bytes(before[1], other)


@given(pair=st.tuples(strategies.bson_documents(), strategies.bson_documents()))
def test_any_two_documents_can_be_compared(pair):
    """Whatever they hold, each wanted field is filled, contradicts, agrees or says nothing."""
    have, want = pair
    merge = fill_missing(have, want)
    named = {path.partition(".")[0] for path in (*merge.values, *merge.conflicts)}

    assert named <= {part.partition(".")[0] for part in want}
    assert bson.encode({"v": list(merge.values.values())})


# -- users, accounts, organizations -------------------------------------------------------------

legacy_users = strategies.legacy_users(dirty=True)


@given(document=st.one_of(legacy_users, strategies.wild_documents(LegacyUser)))
def test_any_legacy_user_becomes_a_user_who_is_whole(document):
    """Whatever is stored: a name, dates, flags and a role are there, nothing blank, no secret."""
    user = user_document(document)

    assert bson.encode(user)
    assert not NOT_CARRIED & user.keys()
    assert [] == [name for name, value in user.items() if name != "_id" and is_missing(value)]
    for name, kind in (("name", str), ("role", str), ("emailVerified", bool), ("isActive", bool)):
        assert kind is type(user[name])
    assert created_at(document) == user["createdAt"]
    assert values.date_of(user["updatedAt"]) == user["updatedAt"]
    assert normalise_email(document.get("email")) == user.get("email")


@given(document=st.one_of(legacy_users, strategies.wild_documents(LegacyUser)))
def test_fields_of_a_company_are_texts_and_flags_of_an_organization(document):
    """Nothing blank, nothing of another type, and no name the application does not read."""
    fields = company_fields(document)

    assert {type(value) for value in fields.values()} <= {str, bool}
    assert [] == [name for name, value in fields.items() if is_missing(value)]
    assert fields.keys() <= {
        field.alias or name for name, field in Organization.model_fields.items()
    }
    assert set(COMPANY_GUARD_FIELDS) - fields.keys() == set(incomplete_fields(fields))


@given(
    document=legacy_users,
    organization=strategies.wild_documents(Organization, unknown_fields=False),
)
def test_an_organization_is_filled_with_what_does_not_contradict_it(document, organization):
    """What is offered is the company's, and whatever is offered beside a contradiction is alone."""
    fields = company_fields(document)
    offered = company_fields_missing(document, organization)
    merge = fill_missing(organization, offered)

    assert offered.items() <= fields.items()
    assert offered == company_fields_missing(document, {**organization, **merge.values})
    for group in (
        ("addressStreet", "addressCity", "addressZipCode", "addressCountry"),
        ("bankIban", "bankBic", "bankName"),
    ):
        assert not (set(group) & set(merge.conflicts) and set(group) & merge.values.keys())


@given(user=users, password=anything)
def test_an_account_is_made_of_a_hash_and_of_nothing_else(user, password):
    """Whatever is stored as a password; where there is an account it keeps every rule."""
    account = account_document(user, password, user.generation_time)

    assert (account is None) == (not password_kind(password).is_hash)
    if account is not None:
        assert [] == Account.violations_of(account)


@given(document=legacy_users)
def test_the_account_of_a_valid_hash_keeps_every_rule(document):
    """Sign-in reads it in each version."""
    password = document.get("password")
    found = account_document(document["_id"], password, created_at(document))

    if found is not None:
        critical = (Severity.CRITICAL, Severity.WARNING)
        assert [] == [v for v in Account.violations_of(found) if v.severity in critical]
        assert password == found["password"]
