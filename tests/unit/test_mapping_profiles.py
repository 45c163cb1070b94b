"""Versions of Better Auth that can be written for."""

from __future__ import annotations

import pytest

from newbi_migrate.errors import UsageError
from newbi_migrate.mapping.profiles import BetterAuthProfile, BetterAuthVersion


@pytest.mark.parametrize(
    ("version", "fields"),
    [("1.3", ()), ("1.7", (("issuer", "local:credential"),))],
)
def test_a_profile_says_what_its_version_adds_to_an_account(version, fields):
    """Up to 1.6 an account names no issuer; from 1.7 a credential account does."""
    expected = BetterAuthProfile(BetterAuthVersion(version), credential_fields=fields)

    assert expected == BetterAuthProfile.of(version)


def test_every_version_has_a_profile():
    """Whatever version can be asked for by name is one that can be written for."""
    assert list(BetterAuthVersion) == [BetterAuthProfile.of(v).version for v in BetterAuthVersion]


@pytest.mark.parametrize("version", ["1.6", "2.0", "", "v1.7"])
def test_an_unknown_version_is_refused_in_a_sentence(version):
    """The target version is a choice between known ones and never a guess."""
    with pytest.raises(UsageError) as caught:
        BetterAuthProfile.of(version)

    assert f"There is no profile for Better Auth {version!r}." == caught.value.what
    assert "Choose 1.7 for 1.7.0 to 1.7.2, and 1.3 for every other." == caught.value.next_step
    assert caught.value.__suppress_context__
