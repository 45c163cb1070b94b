"""Choices that a caller of the library names by their texts, and numbers out of their range."""

from __future__ import annotations

import pytest

from newbi_migrate.choices import AliasOwners, AliasPolicy, DuplicatePolicy, OnConflict
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.errors import UsageError
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.rollback.results import RollbackOptions
from newbi_migrate.migration.run.throttle import ThrottleOptions
from newbi_migrate.migration.validation.report import FailOn
from newbi_migrate.migration.validation.request import ValidationRequest


def request(**fields):
    return ValidationRequest(None, NEWBI, **fields)


CHOICES = [
    (MigrationOptions, "duplicate_emails", DuplicatePolicy),
    (MigrationOptions, "aliases", AliasPolicy),
    (MigrationOptions, "alias_owners", AliasOwners),
    (RollbackOptions, "on_conflict", OnConflict),
    (request, "fail_on", FailOn),
]


@pytest.mark.parametrize(("options", "name", "kind"), CHOICES)
def test_a_choice_is_the_same_by_its_text(options, name, kind):
    """A text is no member of an enumeration: a strict policy was taken for a lax one."""
    made = [getattr(options(**{name: choice.value}), name) for choice in kind]

    assert all(one is choice for one, choice in zip(made, kind, strict=True))


@pytest.mark.parametrize(("options", "name", "kind"), CHOICES)
def test_what_is_no_choice_is_refused_with_those_there_are(options, name, kind):
    """Whatever type it has."""
    for value in ("yes", None, 5, []):
        with pytest.raises(UsageError, match=name) as refused:
            options(**{name: value})

        assert all(choice in refused.value.next_step for choice in kind)


@pytest.mark.parametrize("sample", [-1, 0, 10**20])
def test_a_sample_is_of_some_documents(sample):
    """The server would refuse the number, or take it for all."""
    with pytest.raises(UsageError, match="sample"):
        request(sample=sample)


@pytest.mark.parametrize("seconds", [-1, 0, float("nan"), float("inf")])
def test_a_lease_lasts_for_some_time(seconds):
    """No run could hold it otherwise."""
    with pytest.raises(UsageError, match="lease"):
        Migration("mongodb://localhost/newbi", lease_seconds=seconds)


@pytest.mark.parametrize("number", [2.5, float("nan"), float("inf"), "2", True])
@pytest.mark.parametrize(
    ("options", "name"),
    [
        (MigrationOptions, "batch_size"),
        (MigrationOptions, "workers"),
        (ThrottleOptions, "max_rate"),
    ],
)
def test_a_number_of_documents_or_workers_has_no_fraction(options, name, number):
    """The driver refused it once the run had begun, which was left unfinished."""
    with pytest.raises(UsageError, match="whole number"):
        options(**{name: number})


@pytest.mark.parametrize("name", ["batch_size", "workers"])
def test_only_a_rate_can_be_left_out(name):
    """A run has some batch size and some workers."""
    assert ThrottleOptions(max_rate=None).max_rate is None
    with pytest.raises(UsageError, match="whole number"):
        MigrationOptions(**{name: None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("legacyCollection", ["Users"]),
        ("legacyCollection", 7),
        ("schemaDay", ["2025-01-01"]),
        ("schemaDay", 20250101),
        ("collections", [None]),
        ("collections", True),
        ("collections", [["invoices"]]),
        ("aliases", ["all"]),
        ("duplicateEmails", None),
    ],
)
def test_a_recorded_choice_of_another_kind_is_refused_in_one_sentence(name, value):
    """A file or a record may hold it, with a checksum that fits."""
    policy = {**MigrationOptions().policy(), name: value}

    with pytest.raises(UsageError, match="options cannot be read"):
        MigrationOptions.from_policy(policy, batch_size=1, workers=1)
