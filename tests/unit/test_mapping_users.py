"""The documents that are written for one legacy user, and what there is to say about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from bson import ObjectId
from small_worlds import BCRYPT, SCRYPT

from newbi_migrate.mapping.account import account_document
from newbi_migrate.mapping.decisions import Outcome, UserDecision
from newbi_migrate.mapping.ids import account_id, member_id, organization_id
from newbi_migrate.mapping.organization import member_document, organization_document
from newbi_migrate.mapping.user import user_document
from newbi_migrate.mapping.users import (
    Existing,
    Finding,
    Insert,
    SetMissing,
    UserWrites,
    writes_for,
)
from newbi_migrate.mapping.workspace import Reason

LEA = ObjectId("64b000000000000000000001")
OTHER = ObjectId("64b0000000000000000000ff")
HOME = organization_id(LEA)
ATELIER = ObjectId("65a000000000000000000001")
ACCOUNT = ObjectId("65b000000000000000000001")
DAY = datetime(2024, 3, 5, tzinfo=UTC)
LEGACY = {
    "_id": LEA,
    "email": "lea@newbi.fr",
    "password": BCRYPT,
    "isEmailVerified": True,
    "isDisabled": False,
    "profile": {"firstName": "Léa", "phone": "06"},
    "company": {
        "name": "Atelier",
        "email": "contact@atelier.fr",
        "address": {
            "street": "1, rue X",
            "city": "Lyon",
            "postalCode": "69001",
            "country": "France",
        },
    },
    "referralCode": "A1",
    "createdAt": DAY,
}
CREATED = UserDecision(LEA, Outcome.CREATED, user_id=LEA, workspace=HOME, slug="org-1")
MERGED = replace(CREATED, outcome=Outcome.PRESENT, slug=None)
ALIASED = UserDecision(
    LEA, Outcome.ALIASED, user_id=OTHER, workspace=organization_id(OTHER), slug="org-1"
)
USER = user_document(LEGACY)
ORGANIZATION = organization_document(LEGACY, user_id=LEA, slug="org-1", created=DAY)


def written(legacy=None, decision=CREATED, existing=None, **changes):
    document = {**(LEGACY if legacy is None else legacy), **changes}
    document = {name: value for name, value in document.items() if value is not ...}
    return writes_for(
        document,
        decision,
        existing or Existing(),
        source="Users",
    )


def in_place(*, user=USER, organization=ORGANIZATION, is_member=True, accounts=None):
    account = account_document(LEA, BCRYPT, DAY)
    return Existing(user, (account,) if accounts is None else accounts, organization, is_member)


def credential(**fields):
    return {"_id": ACCOUNT, "userId": LEA, "providerId": "credential", **fields}


def about(writes, collection):
    return [write for write in writes.writes if write.collection == collection]


# -- created ------------------------------------------------------------------------------------


def test_a_new_user_gets_four_documents_in_order():
    """User, account, organization and member, so that nothing refers to what is missing."""
    account = account_document(LEA, BCRYPT, DAY)
    member = member_document(LEA, HOME, DAY)
    expected = (
        Insert("user", USER),
        Insert("account", account),
        Insert("organization", ORGANIZATION),
        Insert("member", member),
    )
    found = written()

    assert UserWrites(CREATED, expected) == found
    assert (account_id(LEA), member_id(LEA)) == (account["_id"], member["_id"])


def test_a_quarantined_user_gets_nothing():
    """They are left as they are, and the reason is told elsewhere."""
    decision = UserDecision(LEA, Outcome.QUARANTINED, reason=Reason.EMAIL_MISSING)
    found = written(decision=decision)

    assert UserWrites(decision) == found


def test_a_user_is_as_old_as_their_id_where_no_date_is_stored():
    """All four documents get the same date."""
    found = written(createdAt=...)

    assert {LEA.generation_time} == {w.document["createdAt"] for w in found.writes}


@pytest.mark.parametrize(
    ("option", "code", "path", "missing"),
    [
        ("keep_email", "email-already-taken", "email", "email"),
        ("keep_phone", "phone-already-taken", "profile.phone", "phoneNumber"),
        ("keep_referral_code", "referral-code-already-taken", "referralCode", "referralCode"),
    ],
)
def test_what_is_another_users_is_left_out_and_told(option, code, path, missing):
    """The new user is made without it, and a person learns of it."""
    found = written(decision=replace(CREATED, **{option: False}))

    assert (Finding(code, "Users", LEA, path),) == found.findings
    assert {missing} == USER.keys() - about(found, "user")[0].document.keys()


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password-none"),
        (None, "password-none"),
        (..., "password-none"),
        ("Secret-123", "password-unknown"),
        (7, "password-unknown"),
    ],
)
def test_without_a_hash_there_is_no_account_and_a_person_is_told(password, code):
    """They cannot sign in until they ask for a new password; the rest is written."""
    found = written(password=password)

    assert (Finding(code, "Users", LEA, "password"),) == found.findings
    assert ["user", "organization", "member"] == [write.collection for write in found.writes]


@pytest.mark.parametrize(
    ("company", "missing"),
    [
        (
            None,
            [
                "companyName",
                "companyEmail",
                "addressStreet",
                "addressCity",
                "addressZipCode",
                "addressCountry",
            ],
        ),
        (
            {**LEGACY["company"], "address": {"city": "Lyon", "country": " "}},
            ["addressStreet", "addressZipCode", "addressCountry"],
        ),
    ],
)
def test_an_incomplete_company_is_told_field_by_field(company, missing):
    """The application refuses every invoice without them, and nobody can invent them."""
    found = written(company=company)

    assert [Finding("company-incomplete", "organization", HOME, m) for m in missing] == list(
        found.findings
    )


# -- what is there already ----------------------------------------------------------------------


def test_what_is_complete_is_not_written_again():
    """A second run finds everything in place."""
    assert UserWrites(MERGED) == written(decision=MERGED, existing=in_place())


def test_an_existing_user_is_filled_where_they_say_nothing():
    """Absent, null and blank fields are set; what stood there is remembered."""
    user = {**USER, "lastName": None, "name": " ", "phoneNumber": "07"}
    del user["referralCode"], user["company"]
    found = written(decision=MERGED, existing=in_place(user=user))
    values = {"company": LEGACY["company"], "name": "Léa", "referralCode": "A1"}

    assert (SetMissing("user", LEA, values, {"name": " "}),) == found.writes
    assert (Finding("conflict", "user", LEA, "phoneNumber"),) == found.findings


@pytest.mark.parametrize(
    ("profile", "stored", "conflict"),
    [
        ({"firstName": "Léa"}, "Hugo", True),
        ({"firstName": "Léa"}, "Léa", False),
        ({"firstName": " "}, "Hugo", False),
        (None, "Hugo", False),
    ],
)
def test_a_name_made_of_the_address_contradicts_nobody(profile, stored, conflict):
    """Only a first name somebody gave can differ from the one that is stored."""
    user = {**USER, "name": stored}
    if not isinstance(profile, dict) or profile["firstName"] == " ":
        del user["profile"], user["phoneNumber"]
    found = written(decision=MERGED, existing=in_place(user=user), profile=profile)
    paths = [finding.path for finding in found.findings]

    assert conflict == ("name" in paths)
    assert stored == user["name"]
    assert all("name" not in fill.values for fill in found.writes)


def test_a_missing_name_is_made_of_the_address():
    """Better Auth requires one."""
    user = {name: value for name, value in USER.items() if name not in {"name", "profile"}}
    found = written(decision=MERGED, existing=in_place(user=user), profile=None)

    assert {"name": "lea"} == about(found, "user")[0].values


@pytest.mark.parametrize(
    ("role", "stored", "values", "paths"),
    [
        (..., "member", {}, []),
        ("", "member", {}, []),
        (..., None, {"role": "owner"}, []),
        ("admin", None, {"role": "owner"}, ["role"]),
        ("admin", "member", {}, ["role"]),
        ("admin", "admin", {}, []),
    ],
)
def test_a_default_role_contradicts_nobody(role, stored, values, paths):
    """The role of an existing user stays; a legacy one that differs is named and not carried."""
    user = {**USER, "role": stored}
    found = written(decision=MERGED, existing=in_place(user=user), role=role)

    assert values == {k: v for fill in found.writes for k, v in fill.values.items()}
    assert paths == [finding.path for finding in found.findings]


@pytest.mark.parametrize(
    ("new", "old", "has", "legacy", "values"),
    [
        # The flag that is there decides about the one that is filled.
        (
            "emailVerified",
            "isEmailVerified",
            {"emailVerified": False},
            True,
            {"isEmailVerified": False},
        ),
        (
            "emailVerified",
            "isEmailVerified",
            {"emailVerified": True},
            True,
            {"isEmailVerified": True},
        ),
        (
            "emailVerified",
            "isEmailVerified",
            {"isEmailVerified": False},
            True,
            {"emailVerified": False},
        ),
        (
            "emailVerified",
            "isEmailVerified",
            {"isEmailVerified": 1},
            False,
            {"emailVerified": True},
        ),
        (
            "emailVerified",
            "isEmailVerified",
            {},
            True,
            {"emailVerified": True, "isEmailVerified": True},
        ),
        ("isActive", "isDisabled", {"isActive": True}, True, {"isDisabled": False}),
        ("isActive", "isDisabled", {"isActive": False}, False, {"isDisabled": True}),
        ("isActive", "isDisabled", {"isDisabled": True}, False, {"isActive": False}),
        ("isActive", "isDisabled", {"isDisabled": "false"}, True, {"isActive": True}),
        ("isActive", "isDisabled", {}, True, {"isActive": False, "isDisabled": True}),
        # The legacy user never said it, so there is nothing to fill the old flag with.
        ("isActive", "isDisabled", {"isActive": False}, ..., {}),
        ("isActive", "isDisabled", {"isDisabled": True}, ..., {"isActive": False}),
        (
            "emailVerified",
            "isEmailVerified",
            {"emailVerified": None},
            ...,
            {"emailVerified": False},
        ),
        # What says nothing as a flag decides nothing.
        ("isActive", "isDisabled", {"isActive": 1}, True, {"isDisabled": True}),
        ("isActive", "isDisabled", {"isDisabled": "peut-être"}, True, {"isActive": False}),
    ],
)
def test_a_flag_that_is_filled_agrees_with_the_one_that_is_there(new, old, has, legacy, values):
    """The flags of the old and the new sign-in never contradict each other by a fill."""
    user = {name: value for name, value in USER.items() if name not in {new, old}}
    found = written(decision=MERGED, existing=in_place(user={**user, **has}), **{old: legacy})

    assert values == {k: v for fill in found.writes for k, v in fill.values.items()}


def test_flags_that_contradict_the_legacy_user_are_told():
    """An existing flag is never turned round."""
    user = {**USER, "isActive": False, "isDisabled": True}
    found = written(decision=MERGED, existing=in_place(user=user))

    assert () == found.writes
    assert ["isDisabled", "isActive"] == [finding.path for finding in found.findings]


# -- accounts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "legacy", "codes"),
    [
        ({"password": BCRYPT}, BCRYPT, []),
        ({"password": SCRYPT}, BCRYPT, ["password-differs"]),
        ({"password": SCRYPT}, "", []),
        ({"password": SCRYPT}, "Secret-123", []),
        ({"password": 7}, BCRYPT, ["password-differs"]),
        ({"password": None}, BCRYPT, ["account-without-password"]),
        ({"password": " "}, BCRYPT, ["account-without-password"]),
        ({}, "", ["account-without-password"]),
    ],
)
def test_an_existing_credential_account_is_never_given_a_hash(stored, legacy, codes):
    """Not filled, not overwritten: whoever can sign in keeps their password; the rest is told."""
    existing = in_place(accounts=(credential(**stored),))
    found = written(decision=MERGED, existing=existing, password=legacy)

    assert () == found.writes
    assert [Finding(code, "account", ACCOUNT, "password") for code in codes] == list(found.findings)


def test_an_account_of_another_provider_is_no_credential_account():
    """Who signed in with Google only gets the account for their password besides."""
    google = {"_id": ACCOUNT, "userId": LEA, "providerId": "google"}
    found = written(decision=MERGED, existing=in_place(accounts=(google,)))

    assert [account_id(LEA)] == [write.document["_id"] for write in found.writes]


def test_several_credential_accounts_are_told_and_the_first_counts():
    """Better Auth takes one of them, and nobody knows which."""
    accounts = (credential(password=BCRYPT), credential(_id=OTHER, password=SCRYPT))
    found = written(decision=MERGED, existing=in_place(accounts=accounts))

    assert (Finding("several-credential-accounts", "Users", LEA, "password"),) == found.findings
    assert () == found.writes


def test_an_account_id_that_is_taken_is_told():
    """The id is derived, so another account under it cannot be ours."""
    taken = {"_id": account_id(LEA), "userId": LEA, "providerId": "google"}
    found = written(decision=MERGED, existing=in_place(accounts=(taken,)))

    assert () == found.writes
    assert (Finding("account-id-taken", "Users", LEA, "password"),) == found.findings


@pytest.mark.parametrize("issuer", [{}, {"issuer": None}, {"issuer": "other"}])
def test_an_existing_account_is_left_as_the_application_made_it(issuer):
    """Its version of Better Auth wrote what it reads: an issuer, or none."""
    existing = in_place(accounts=(credential(password=BCRYPT, **issuer),))

    assert UserWrites(MERGED) == written(decision=MERGED, existing=existing)


@pytest.mark.parametrize("owner", [str(LEA), str(LEA).upper()])
def test_an_account_that_names_its_user_by_text_is_seen(owner):
    """Better Auth does not find it; a second one would have the same accountId, so none is made."""
    account = credential(password=BCRYPT, userId=owner)
    found = written(decision=MERGED, existing=in_place(accounts=(account,)))

    assert () == found.writes
    assert (Finding("account-user-id-text", "account", ACCOUNT, "userId"),) == found.findings


def test_the_account_that_better_auth_finds_counts():
    """Beside one that names the user by text it is the one whose password is compared."""
    text = credential(_id=OTHER, password=SCRYPT, userId=str(LEA))
    found = written(
        decision=MERGED, existing=in_place(accounts=(text, credential(password=BCRYPT)))
    )

    assert (Finding("several-credential-accounts", "Users", LEA, "password"),) == found.findings


# -- what a person should know ------------------------------------------------------------------


@pytest.mark.parametrize(
    "email", ["zoé@b.fr", "camille 65", "a@localhost", "a@b_c.fr", "\x1ca@b.fr"]
)
def test_an_address_that_better_auth_refuses_is_named(email):
    """The user is created like every other, and cannot sign in until the address is corrected."""
    found = written(email=email)

    assert (Finding("email-refused", "Users", LEA, "email"),) == found.findings
    assert email == about(found, "user")[0].document["email"]
    assert ["user", "account", "organization", "member"] == [w.collection for w in found.writes]


def test_a_byte_order_mark_around_an_address_is_taken_off():
    """JavaScript's trim takes it off too, so that the user can sign in."""
    found = written(email="\ufefflea@newbi.fr")

    assert () == found.findings
    assert "lea@newbi.fr" == about(found, "user")[0].document["email"]


@pytest.mark.parametrize("email", ["zoé@b.fr", "Lea@newbi.fr", " lea@newbi.fr", 42])
def test_an_existing_users_address_is_corrected_where_it_is(email):
    """It is the one that counts, whatever the legacy one is."""
    found = written(decision=MERGED, existing=in_place(user={**USER, "email": email}))

    assert [Finding("email-refused", "user", LEA, "email")] == [
        finding for finding in found.findings if finding.code == "email-refused"
    ]


@pytest.mark.parametrize(
    ("field", "code"), [("isDisabled", "user-disabled"), ("banned", "user-banned")]
)
@pytest.mark.parametrize(
    ("value", "named"), [(True, True), (1, True), (False, False), (None, False)]
)
def test_whoever_was_kept_out_is_named(field, code, value, named):
    """Better Auth knows of neither: it would let them in again, and nobody had noticed."""
    found = written(**{field: value})

    assert ([Finding(code, "Users", LEA, field)] if named else []) == [
        finding for finding in found.findings if finding.code == code
    ]


@pytest.mark.parametrize("field", ["isDisabled", "banned"])
def test_whoever_is_banned_in_better_auth_stays_out(field):
    """There is nothing to decide any more."""
    user = {**USER, "banned": True, "isActive": False, "isDisabled": True}
    found = written(decision=MERGED, existing=in_place(user=user), **{field: True})

    assert not {"user-disabled", "user-banned"} & {finding.code for finding in found.findings}


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"role": "admin"}, "plugin-field-not-carried", "role"),
        ({"twoFactorEnabled": True}, "plugin-field-not-carried", "twoFactorEnabled"),
        ({"company": {"siret": 1}}, "number-ambiguous", "company.siret"),
        ({"profile": {"phone": 6}}, "number-ambiguous", "profile.phone"),
        ({"createdAt": 1709596800}, "date-not-understood", "createdAt"),
        ({"updatedAt": "hier"}, "date-not-understood", "updatedAt"),
    ],
)
def test_what_is_not_carried_as_it_is_stored_is_named(changes, code, path):
    """By the user and the field; the stored value is in the legacy document."""
    found = written(**changes)

    assert Finding(code, "Users", LEA, path) in found.findings


@pytest.mark.parametrize("stored", [1709596800000, None, "", DAY])
def test_a_date_that_is_understood_needs_no_mention(stored):
    """Milliseconds are what the application casts, and an absent date is known from the id."""
    assert () == written(createdAt=stored, updatedAt=stored).findings


# -- aliases ------------------------------------------------------------------------------------


def test_a_user_who_is_gone_since_is_left_alone():
    """Nobody takes the legacy id's place in the meantime."""
    assert UserWrites(ALIASED, findings=(Finding("changed-meanwhile", "user", OTHER),)) == written(
        decision=ALIASED
    )


@pytest.mark.parametrize(
    ("verified", "carried"),
    [(True, True), (1, True), ("true", True), (False, False), (None, False), (..., False)],
)
def test_a_hash_goes_to_another_user_only_from_a_verified_address(verified, carried):
    """A stranger who once took the address must not sign in as its owner."""
    user = {"_id": OTHER, "email": "lea@newbi.fr", "emailVerified": True}
    found = written(decision=ALIASED, existing=Existing(user=user), isEmailVerified=verified)
    told = [] if carried else [Finding("password-not-carried", "Users", LEA, "password")]

    assert told == [f for f in found.findings if f.code == "password-not-carried"]
    assert ([account_id(OTHER)] if carried else []) == [
        write.document["_id"] for write in about(found, "account")
    ]


def test_an_alias_gets_an_organization_of_the_user_they_became():
    """Organization and membership are the other's, the company is the legacy user's."""
    user = {"_id": OTHER, "email": "lea@newbi.fr"}
    found = written(decision=ALIASED, existing=Existing(user=user))
    (organization,), (member,) = about(found, "organization"), about(found, "member")

    assert (organization_id(OTHER), "Atelier") == (
        organization.document["_id"],
        organization.document["companyName"],
    )
    assert member_document(OTHER, organization_id(OTHER), DAY) == member.document
    assert OTHER == about(found, "user")[0].id


# -- organizations ------------------------------------------------------------------------------


def test_an_existing_organization_is_filled_where_it_says_nothing():
    """Missing company fields are set; what contradicts is told and left."""
    organization = {"_id": ATELIER, "companyName": "Studio", "companyEmail": None}
    decision = replace(MERGED, workspace=ATELIER)
    found = written(decision=decision, existing=in_place(organization=organization))
    values = {
        "companyEmail": "contact@atelier.fr",
        "addressStreet": "1, rue X",
        "addressCity": "Lyon",
        "addressZipCode": "69001",
        "addressCountry": "France",
    }

    assert (SetMissing("organization", ATELIER, values, {"companyEmail": None}),) == found.writes
    assert (Finding("conflict", "organization", ATELIER, "companyName"),) == found.findings


def test_what_an_organization_still_lacks_after_a_fill_is_told():
    """Parts of an address that contradicts are not filled, so they go on missing."""
    organization = {
        **ORGANIZATION,
        "addressCity": "Paris",
        "addressStreet": "",
        "companyName": None,
    }
    found = written(decision=MERGED, existing=in_place(organization=organization))

    assert {"companyName": "Atelier"} == found.writes[0].values
    assert [("conflict", "addressCity"), ("company-incomplete", "addressStreet")] == [
        (finding.code, finding.path) for finding in found.findings
    ]


def test_what_a_migration_filled_before_is_not_filled_again():
    """People emptied it: only what is stored is told of, and whom it contradicts."""
    user = {**USER, "email": None, "name": " ", "phoneNumber": "07"}
    organization = {**ORGANIZATION, "companyName": "Studio", "companyEmail": None}
    existing = replace(
        in_place(user=user, organization=organization), user_filled=True, organization_filled=True
    )
    found = written(decision=MERGED, existing=existing, email="not an address")

    assert () == found.writes
    assert (
        Finding("conflict", "user", LEA, "phoneNumber"),
        Finding("conflict", "organization", HOME, "companyName"),
        Finding("company-incomplete", "organization", HOME, "companyEmail"),
    ) == found.findings


def test_a_membership_that_is_missing_is_made():
    """An organization without its owner is one that nobody sees."""
    found = written(decision=MERGED, existing=in_place(is_member=False))

    assert (Insert("member", member_document(LEA, HOME, DAY)),) == found.writes


def test_an_organization_that_is_gone_since_is_left_alone():
    """It was there when the decision was taken, and no slug was chosen for another."""
    existing = in_place(organization=None, is_member=False)
    found = written(decision=replace(MERGED, workspace=ATELIER), existing=existing)

    assert () == found.writes
    assert (Finding("changed-meanwhile", "organization", ATELIER),) == found.findings


@pytest.mark.parametrize(
    ("no_workspace_reason", "code"),
    [
        (Reason.OWNER_AMBIGUOUS, "several-organizations-owned"),
        (Reason.OWNER_WITHOUT_WORKSPACE, "organization-left"),
    ],
)
def test_a_user_without_a_single_workspace_gets_none(no_workspace_reason, code):
    """Their user and account are written; why they have no organization is told."""
    decision = replace(CREATED, workspace=None, slug=None, no_workspace_reason=no_workspace_reason)
    found = written(decision=decision)

    assert ["user", "account"] == [write.collection for write in found.writes]
    assert (Finding(code, "user", LEA),) == found.findings


def test_findings_name_the_legacy_collection_they_were_read_from():
    """It is one of two names, and by default the guide's."""
    found = writes_for({**LEGACY, "password": ""}, CREATED, Existing())

    assert ["Users"] == [finding.collection for finding in found.findings]
