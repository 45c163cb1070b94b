"""No credential comes out again, wherever on the command line or in a call it was given away."""

from __future__ import annotations

import leaks
from hypothesis import settings
from leaks import Credential, attempt

COUNT = 5 * settings().max_examples


def test_no_generated_credential_comes_out_of_the_command_line_or_a_call(tmp_path):
    """A hundred and more here; the same by the hundred thousand: ``tests/support/leaks.py``."""
    leaked = [line for seed in range(COUNT) if (line := attempt(seed, tmp_path))]

    assert [] == leaked


def test_a_credential_that_comes_out_is_found(tmp_path, monkeypatch):
    """On the terminal, in a file or in a traceback."""

    def printed(chance, credential, folder):
        print(f"no server at {credential.uri}")  # noqa: T201

    def written(chance, credential, folder):
        (folder / "report.txt").write_text(credential.uri)

    def raised(chance, credential, folder):
        raise ValueError(credential.uri)

    found = []
    for way in (printed, written, raised):
        for name in ("in_environment", "in_file", "in_dotenv", "misplaced", "in_a_call"):
            monkeypatch.setattr(leaks, name, way)
        found.append(attempt(1, tmp_path))

    assert all(found), found


def test_each_credential_holds_a_text_that_nothing_else_holds():
    """What is looked for is in what is given away, and is another one each time."""
    chance = leaks.random.Random(0)
    made = [Credential(chance) for _ in range(200)]

    assert 200 == len({each.core for each in made})
    assert all(each.core in each.uri for each in made)
