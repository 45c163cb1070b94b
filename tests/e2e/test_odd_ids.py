"""Documents with ids that no driver decodes, or no calendar has, are named like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newbi_migrate import ExitCode
from newbi_migrate.store.raw import document_of

ODD_IDS = {
    "bad UTF-8": (0x02, b"\3\0\0\0\xe9t\0"),
    "far date": (0x09, (2**62).to_bytes(8, "little")),
    "DBPointer": (0x0C, b"\2\0\0\0c\0" + bytes(12)),
    "symbol": (0x0E, b"\4\0\0\0abc\0"),
}


@pytest.fixture
def odd(clean):
    """A database with an invoice of each id that has no workspace and no owner."""
    command = {
        "insert": "invoices",
        "documents": [document_of(("_id", *i)) for i in ODD_IDS.values()],
    }
    assert len(ODD_IDS) == clean.command(command)["n"]
    return clean


@pytest.mark.parametrize("answered", ["--json", "--detailed"])
def test_what_differs_from_a_backup_is_named_whatever_its_id(quick, odd, answered):
    """A document that is gone since, for people and for programs."""
    quick("backup", "--no-exports", "--output-dir", "out")
    odd["invoices"].delete_many({"createdBy": None})
    (folder,) = Path("out").iterdir()
    answer = quick("verify-backup", "--compare", answered, folder)

    assert ExitCode.PENDING == answer.code, answer.err
    if answered == "--json":
        differing = answer.json["comparison"]["differences"]
        found = [one for one in differing if one["kind"] == "missing"]
        assert len(ODD_IDS) == len({json.dumps(one["id"]) for one in found})
    else:
        listed = [line for line in answer.out.splitlines() if line.endswith(" missing")]
        assert len(ODD_IDS) == len(listed)


@pytest.mark.parametrize("answered", ["--json", "--verbose"])
def test_what_breaks_a_rule_is_named_whatever_its_id(quick, odd, answered):
    """Every violation that is kept aside comes back."""
    answer = quick("validate", "--detailed", answered, "--only", "document.*")

    assert answer.code in {ExitCode.DONE, ExitCode.VALIDATION_FAILED}, answer.err
