"""The command `doctor`: what it prints, and what it ends with."""

from __future__ import annotations

import pytest

from newbi_migrate.errors import ExitCode

CHECKS = (
    "server",
    "rights",
    "clock",
    "disk",
    "legacy-users",
    "target-collections",
    "registered-collections",
    "runs",
    "leftovers",
    "writers",
)


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_each_check_is_shown_with_its_remedy(quick, clean, arguments):
    """Without a backup what to do stands below what was found, and is a note."""
    answer = quick("doctor", "--watch", 0, *arguments)

    assert ExitCode.DONE == answer.code
    assert "newbi-migrate backup" in answer.out
    if arguments:
        assert set(CHECKS) <= {check["id"] for check in answer.json["checks"]}
    else:
        assert " ok      MongoDB" in answer.out
        assert "→ " in answer.out


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_ends_with_nine(newbi):
    """There is nothing to diagnose where nobody answers."""
    answer = newbi(
        "doctor", uri="mongodb://u:se-cret@127.0.0.1:9/newbi?serverSelectionTimeoutMS=200"
    )

    assert ExitCode.UNREACHABLE == answer.code
    assert "se-cret" not in answer.out + answer.err


def test_no_personal_data_is_shown(quick, dirty):
    """Counts and names of collections are all it tells."""
    answer = quick("doctor", "--watch", 0)

    for private in ("exemple.fr", "Jeanne", "Dupont", "Atelier", "$2a$10$"):
        assert private not in answer.out + answer.err


def test_a_watch_that_is_negative_is_refused(quick):
    """Time does not run backwards, and the option is named."""
    answer = quick("doctor", "--watch", -1)

    assert ExitCode.USAGE == answer.code
