"""A legacy password becomes a credential account, or is said to be none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId

from newbi_migrate.mapping.account import (
    CREDENTIAL,
    PasswordKind,
    account_document,
    password_kind,
)
from newbi_migrate.mapping.ids import account_id

USER = ObjectId("64b000000000000000000001")
DAY = datetime(2025, 1, 2, tzinfo=UTC)
BCRYPT = "$2a$10$" + "./azAZ09" * 6 + "a" * 5
SCRYPT = "0f" * 16 + ":" + "a9" * 64


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (BCRYPT, PasswordKind.BCRYPT),
        (BCRYPT.replace("2a", "2b"), PasswordKind.BCRYPT),
        (BCRYPT.replace("2a", "2y"), PasswordKind.BCRYPT),
        (SCRYPT, PasswordKind.SCRYPT),
        ("", PasswordKind.NONE),
        ("  ", PasswordKind.NONE),
        (None, PasswordKind.NONE),
        (0, PasswordKind.NONE),
        (b"", PasswordKind.NONE),
        ("Secret-123", PasswordKind.UNKNOWN),
        (BCRYPT.replace("2a", "2x"), PasswordKind.UNKNOWN),
        (BCRYPT[:-1], PasswordKind.UNKNOWN),
        (BCRYPT + "a", PasswordKind.UNKNOWN),
        (BCRYPT + "\n", PasswordKind.UNKNOWN),
        (f" {BCRYPT}", PasswordKind.UNKNOWN),
        (BCRYPT.replace("$10$", "$1a$"), PasswordKind.UNKNOWN),
        (SCRYPT.upper(), PasswordKind.UNKNOWN),
        (SCRYPT.replace(":", ""), PasswordKind.UNKNOWN),
        (SCRYPT + "0", PasswordKind.UNKNOWN),
        (f"0{SCRYPT}", PasswordKind.UNKNOWN),
        (7, PasswordKind.UNKNOWN),
        (BCRYPT.encode(), PasswordKind.UNKNOWN),
    ],
)
def test_a_hash_is_told_from_everything_else(stored, expected):
    """Three prefixes of bcrypt and Better Auth's scrypt are hashes; nothing else is."""
    assert expected is password_kind(stored)


def test_only_hashes_sign_in():
    """Somebody can sign in with a hash of either kind and with nothing else."""
    assert {"bcrypt", "scrypt"} == {kind for kind in PasswordKind if kind.is_hash}


@pytest.mark.parametrize("password", [BCRYPT, SCRYPT])
def test_a_hash_becomes_the_account_every_version_reads(password):
    """It names its issuer and its user as text and as ObjectId, the hash unchanged, in order."""
    expected = {
        "_id": account_id(USER),
        "accountId": str(USER),
        "providerId": "credential",
        "userId": USER,
        "password": password,
        "issuer": "local:credential",
        "createdAt": DAY,
        "updatedAt": DAY,
    }
    found = account_document(USER, password, DAY)

    assert list(expected.items()) == list(found.items())
    assert CREDENTIAL == found["providerId"]


@pytest.mark.parametrize("password", ["", None, "Secret-123", 7, BCRYPT[:-1]])
def test_without_a_hash_there_is_no_account(password):
    """Nobody is given an account they cannot sign in with, least of all a plain password."""
    assert account_document(USER, password, DAY) is None
