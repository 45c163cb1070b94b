"""A legacy user becomes a Better Auth user, field by field."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime

import pytest
from bson import Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from small_worlds import BCRYPT

from newbi_migrate.mapping.user import (
    NOT_CARRIED,
    PLUGIN_FIELDS,
    created_at,
    first_name_of,
    phone_of,
    plugin_fields_of,
    referral_code_of,
    user_document,
)

USER = ObjectId("64b000000000000000000001")
BORN = USER.generation_time
DAY = datetime(2024, 3, 5, tzinfo=UTC)
LATER = datetime(2024, 4, 6, tzinfo=UTC)
WHOLE = {
    "_id": USER,
    "email": " Lea@Newbi.fr",
    "password": BCRYPT,
    "isEmailVerified": True,
    "isDisabled": False,
    "emailVerificationToken": "jeton",
    "emailVerificationExpires": DAY,
    "resetPasswordToken": "jeton",
    "resetPasswordExpires": DAY,
    "subscription": {"licence": True, "trial": False, "stripeCustomerId": " cus_1 "},
    "profile": {
        "_id": ObjectId("64b0000000000000000000aa"),
        "firstName": " Léa ",
        "lastName": " Martin ",
        "phone": " 06 12 12 12 12 ",
        "profilePicture": "old.png",
        "profilePictureUrl": " https://newbi.fr/lea.png ",
    },
    "company": {"name": "Atelier", "siret": None, "address": {"city": ""}},
    "bridgeWorkspaceId": "b-1",
    "organizationId": "65a000000000000000000001",
    "workspaceId": "65a000000000000000000001",
    "referralCode": " AAAA1111 ",
    "referredBy": "BBBB2222",
    "referralEarnings": Int64(3),
    "unknown": {"kept": [1, None, ""]},
    "nothing": None,
    "blank": "  ",
    "createdAt": DAY,
    "updatedAt": LATER,
    "__v": 4,
}
MAPPED = {
    "_id": USER,
    "isEmailVerified": True,
    "isDisabled": False,
    "subscription": WHOLE["subscription"],
    "profile": WHOLE["profile"],
    "company": WHOLE["company"],
    "bridgeWorkspaceId": "b-1",
    "referredBy": "BBBB2222",
    "referralEarnings": Int64(3),
    "unknown": WHOLE["unknown"],
    "createdAt": DAY,
    "updatedAt": LATER,
    "email": "lea@newbi.fr",
    "name": "Léa",
    "lastName": "Martin",
    "emailVerified": True,
    "isActive": True,
    "role": "owner",
    "phoneNumber": "06 12 12 12 12",
    "avatar": "https://newbi.fr/lea.png",
    "image": "https://newbi.fr/lea.png",
    "stripeCustomerId": "cus_1",
    "referralCode": "AAAA1111",
}


def mapped(document, **choices):
    return user_document({"_id": USER, **document}, **choices)


def test_a_whole_user_is_mapped_field_by_field():
    """Carried fields first and as they are, then those Better Auth reads; nothing else."""
    assert list(MAPPED.items()) == list(mapped(WHOLE).items())


def test_a_bare_user_gets_what_better_auth_requires():
    """An address alone makes a user who can be found, unverified and active."""
    expected = {
        "_id": USER,
        "email": "lea@newbi.fr",
        "name": "lea",
        "emailVerified": False,
        "isActive": True,
        "role": "owner",
        "createdAt": BORN,
        "updatedAt": BORN,
    }

    assert expected == mapped({"email": "lea@newbi.fr"})


def test_a_user_is_mapped_without_being_changed():
    """The legacy document that was read is the same afterwards."""
    legacy = deepcopy(WHOLE)
    user_document(legacy, keep_email=False)

    assert WHOLE == legacy


@pytest.mark.parametrize("name", sorted(NOT_CARRIED))
@pytest.mark.parametrize("value", ["x", 0, DAY])
def test_what_must_stay_behind_stays_behind(name, value):
    """No hash, one-time token, version or stale pointer is carried over, whatever its type."""
    assert name not in mapped({"email": "lea@newbi.fr", name: value})


def test_what_stays_behind_is_known_by_name():
    """The list of fields a new user does not get is short and complete."""
    expected = {
        "__v",
        "password",
        "emailVerificationToken",
        "emailVerificationExpires",
        "resetPasswordToken",
        "resetPasswordExpires",
        "organizationId",
        "workspaceId",
    }

    assert expected == NOT_CARRIED


@pytest.mark.parametrize(
    ("name", "option", "field"),
    [
        ("email", "keep_email", "email"),
        ("profile", "keep_phone", "phoneNumber"),
        ("referralCode", "keep_referral_code", "referralCode"),
    ],
)
def test_what_another_user_has_already_is_left_out(name, option, field):
    """An address, number or code that is not theirs to keep is not written, and all else is."""
    expected = {key: value for key, value in MAPPED.items() if key != field}

    assert expected == mapped(WHOLE, **{option: False})
    assert name in WHOLE


@pytest.mark.parametrize("name", ["email", "phoneNumber", "referralCode"])
def test_a_unique_field_that_is_no_text_is_not_carried_over(name):
    """A number or a flag where a unique text belongs would be kept unchecked."""
    found = mapped({"email": "lea@newbi.fr", name: 7})

    assert (name == "email") == (found.get("email") is None)
    assert 7 != found.get(name)


@pytest.mark.parametrize("name", ["profile", "company", "referredBy", "image", "lastName"])
@pytest.mark.parametrize("value", [None, "", " \t"])
def test_nothing_blank_is_carried_over(name, value):
    """An explicit null counts as a value in a unique index, so it is left out."""
    assert name not in mapped({"email": "lea@newbi.fr", name: value})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"email": "lea@newbi.fr"}, "lea"),
        ({"email": "Lea.Martin@newbi.fr", "profile": {"firstName": "  "}}, "lea.martin"),
        ({"email": "lea@hugo@newbi.fr"}, "lea"),
        ({"email": "@newbi.fr"}, "@newbi.fr"),
        ({"email": "no address"}, "no address"),
        ({}, "?"),
        ({"profile": {"firstName": "Léa"}}, "Léa"),
        ({"name": " Léa "}, "Léa"),
        ({"name": "Hugo", "profile": {"firstName": "Léa"}}, "Léa"),
        ({"name": 7, "email": "lea@newbi.fr"}, "lea"),
        ({"profile": "Léa", "email": "lea@newbi.fr"}, "lea"),
    ],
)
def test_a_user_has_a_name_always(document, expected):
    """The first name, else a name of their own, else what stands before the at sign."""
    assert expected == mapped(document)["name"]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(True, True), (1, True), ("true", True), (False, False), (None, False), ("oui", False)],
)
def test_an_address_is_verified_only_where_the_legacy_flag_says_so(stored, expected):
    """What the legacy application reads as true is verified, and nothing else."""
    found = mapped({"email": "lea@newbi.fr", "isEmailVerified": stored})

    assert expected is found["emailVerified"]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(True, False), (1, False), ("true", False), (False, True), (None, True), ("oui", True)],
)
def test_a_user_is_active_unless_they_were_disabled(stored, expected):
    """Somebody the legacy application kept out is kept out, and nobody else is."""
    found = mapped({"email": "lea@newbi.fr", "isDisabled": stored})

    assert expected is found["isActive"]


def test_stored_flags_of_the_new_sign_in_do_not_win():
    """The legacy application never read them, so they may say anything."""
    found = mapped({"emailVerified": True, "isActive": True, "isDisabled": True})

    assert (False, False) == (found["emailVerified"], found["isActive"])


@pytest.mark.parametrize("role", ["admin", "", None, 7])
def test_everybody_is_owner(role):
    """The role is the one the application's admin plug-in gave; no legacy role opens anything."""
    assert "owner" == mapped({"role": role})["role"]


@pytest.mark.parametrize("name", sorted(PLUGIN_FIELDS))
@pytest.mark.parametrize("value", ["admin", True, DAY])
def test_what_a_plug_in_of_better_auth_acts_on_is_not_carried_over(name, value):
    """A legacy field of that name meant something else; it stays behind and is named."""
    document = {"email": "lea@newbi.fr", name: value}
    user = mapped(document)

    assert value != user.get(name)
    assert (name,) == plugin_fields_of(document, user)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"role": "owner"}, ()),
        ({"role": None, "banned": None, "username": " "}, ()),
        ({"banned": False}, ("banned",)),
        ({"twoFactorEnabled": True, "banned": True}, ("banned", "twoFactorEnabled")),
        ({"stripeCustomerId": "cus_1", "subscription": {"stripeCustomerId": "cus_1"}}, ()),
        ({"phoneNumber": "07", "unknown": 1}, ()),
    ],
)
def test_a_field_of_a_plug_in_is_named_where_something_is_lost(document, expected):
    """What says nothing, or what the new user has by another way, needs no mention."""
    assert expected == plugin_fields_of(document, mapped(document))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"profilePictureUrl": "new.png", "profilePicture": "old.png"}, "new.png"),
        ({"profilePictureUrl": " ", "profilePicture": " old.png "}, "old.png"),
        ({"profilePictureUrl": None, "profilePicture": 7}, None),
        ("old.png", None),
    ],
)
def test_a_picture_is_avatar_and_image(profile, expected):
    """The address of the picture first, else what an older version stored."""
    found = mapped({"profile": profile})

    assert (expected, expected) == (found.get("avatar"), found.get("image"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"profile": {"phone": " 06 "}, "phoneNumber": "07"}, "06"),
        ({"profile": {"phone": ""}, "phoneNumber": " 07 "}, "07"),
        ({"profile": "06"}, None),
        ({"phone": "06"}, None),
        ({"profile": {"phone": 612121212}}, "612121212"),
        ({}, None),
    ],
)
def test_a_phone_number_is_the_profiles_first(document, expected):
    """Where the profile has none, the one a later version stored on the user counts."""
    assert expected == phone_of(document)
    assert expected == mapped(document).get("phoneNumber")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"profile": {"firstName": " Léa "}, "name": "Hugo"}, "Léa"),
        ({"profile": {"firstName": None}, "name": " Hugo "}, "Hugo"),
        ({"profile": {"firstName": 7}}, "7"),
        ({"profile": [], "name": ""}, None),
        ({"firstName": "Léa"}, None),
    ],
)
def test_a_first_name_is_the_profiles_first(document, expected):
    """Where the profile has none, the user's own name counts."""
    assert expected == first_name_of(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"referralCode": " A1 "}, "A1"),
        ({"referralCode": 12345678}, "12345678"),
        ({"referralCode": ""}, None),
        ({"referredBy": "B"}, None),
    ],
)
def test_a_referral_code_is_the_users_own(document, expected):
    """The code of whoever brought them is another's."""
    assert expected == referral_code_of(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"_id": USER, "createdAt": DAY}, DAY),
        ({"_id": USER, "createdAt": "2024-03-05T00:00:00Z"}, DAY),
        ({"_id": USER, "createdAt": 1709596800000}, DAY),
        ({"_id": USER, "createdAt": 1709596800}, BORN),
        ({"_id": USER, "createdAt": None}, BORN),
        ({"_id": USER, "createdAt": DatetimeMS(2**62)}, BORN),
        ({"_id": USER}, BORN),
        ({"_id": "user-1"}, datetime(1970, 1, 1, tzinfo=UTC)),
        ({}, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_account_is_as_old_as_its_date_or_its_id(document, expected):
    """A date Python cannot hold is no date, and an id that is no ObjectId knows none."""
    assert expected == created_at(document)


@pytest.mark.parametrize("stored", [None, "hier", DatetimeMS(-(2**62))])
def test_who_was_never_changed_was_last_changed_at_birth(stored):
    """Better Auth requires both dates."""
    found = mapped({"createdAt": DAY, "updatedAt": stored})

    assert (DAY, DAY) == (found["createdAt"], found["updatedAt"])
