"""How long a run persists: as long as it gets anywhere, and not for ever where it does not."""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError

from newbi_migrate.errors import ExitCode, InterruptedRunError, LeaseLostError, UnreachableError
from newbi_migrate.migration.run import retry
from newbi_migrate.migration.run.retry import ATTEMPTS, HighWaterMark, retry_transient
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.faults import explained

INTERRUPTED = OperationFailure("interrupted", 11601, {"codeName": "Interrupted"})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.0)


class Attempts:
    """Fails with these errors, one after the other, and then comes to its end."""

    def __init__(self, *errors, achieving=0):
        self._errors = list(errors)
        self._achieving = achieving
        self.made = 0
        self.achieved = 0

    async def __call__(self):
        self.made += 1
        self.achieved += self._achieving
        if self._errors:
            raise self._errors.pop(0)
        return "done"


class Notes(NullProgress):
    def __init__(self):
        self.sentences = []

    def note(self, sentence):
        self.sentences.append(sentence)


@pytest.mark.parametrize(
    "error", [AutoReconnect("gone"), ServerSelectionTimeoutError("nobody"), INTERRUPTED]
)
async def test_an_error_that_passes_is_tried_again_and_told(error):
    """Everything that may be over in a moment, and a set that is electing its primary."""
    attempts, notes = Attempts(error), Notes()

    assert "done" == await retry_transient(attempts, notes)
    assert 2 == attempts.made
    assert 1 == len(notes.sentences)


async def test_nothing_achieved_ends_it_after_a_few_attempts():
    """The server answers and interrupts every time: exit 7, and the same command goes on."""
    attempts = Attempts(*[INTERRUPTED] * 100)
    with pytest.raises(InterruptedRunError, match="Interrupted") as caught:
        await retry_transient(attempts, NullProgress())

    assert ATTEMPTS == attempts.made
    assert ExitCode.INTERRUPTED == caught.value.exit_code
    assert "same command" in caught.value.next_step


async def test_a_server_that_stays_away_is_told_as_such():
    """Its own error comes through, for whoever explains it: exit 9."""
    attempts = Attempts(*[AutoReconnect("gone")] * 100)
    with pytest.raises(UnreachableError), explained("running migrate"):
        await retry_transient(attempts, NullProgress())

    assert ATTEMPTS == attempts.made


async def test_as_long_as_it_gets_anywhere_it_goes_on():
    """Ten times as many errors as it has patience for, each after something was written."""
    attempts = Attempts(*[INTERRUPTED] * (10 * ATTEMPTS), achieving=1)

    assert "done" == await retry_transient(
        attempts, NullProgress(), best_progress=lambda: attempts.achieved
    )


@pytest.mark.parametrize(
    "error", [LeaseLostError("somebody has it"), OperationFailure("no", 13), ZeroDivisionError()]
)
async def test_what_does_not_pass_is_not_tried_again(error):
    """A lost lease, a missing right or a defect is told at once."""
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await retry_transient(attempts, NullProgress())

    assert 1 == attempts.made


async def test_an_explained_error_is_known_by_its_cause():
    """What was turned into a sentence further inside may pass all the same."""

    async def planning():
        with explained("planning"):
            return await attempts()

    attempts = Attempts(AutoReconnect("gone"))

    assert "done" == await retry_transient(planning, NullProgress())


@pytest.mark.parametrize(("further", "gives_up"), [(True, False), (False, True)])
async def test_an_attempt_that_gets_further_than_any_before_is_not_in_vain(further, gives_up):
    """What goes the same way again past what is done achieves something once it gets further."""
    reach = HighWaterMark(Notes())
    made = 0

    async def attempt():
        nonlocal made
        made += 1
        reach.restart()
        reach.phase("documents", 100 * ATTEMPTS)
        for _ in range(made if further else 1):
            reach.advance(10)
        if made < 3 * ATTEMPTS:
            raise AutoReconnect("gone")
        return "done"

    if gives_up:
        with pytest.raises(AutoReconnect):
            await retry_transient(attempt, Notes(), best_progress=lambda: reach.furthest)
    else:
        assert "done" == await retry_transient(
            attempt, Notes(), best_progress=lambda: reach.furthest
        )
    assert (ATTEMPTS if gives_up else 3 * ATTEMPTS) == made


async def test_documents_that_the_application_adds_are_no_progress_of_a_run():
    """Each attempt reads more of them than the one before it, and fails in the same place."""
    reach = HighWaterMark(Notes())
    made = 0

    async def attempt():
        nonlocal made
        made += 1
        reach.restart()
        reach.phase("survey documents", 1000 + made)
        reach.advance(1000 + made)
        reach.phase("documents", 1000 + made)
        reach.advance(500)
        if made < 10 * ATTEMPTS:
            raise INTERRUPTED

    with pytest.raises(InterruptedRunError):
        await retry_transient(attempt, Notes(), best_progress=lambda: reach.furthest)

    assert ATTEMPTS == made


async def test_a_phase_that_none_before_it_began_is_progress():
    """An attempt that goes on has less to do than the first, and gets further all the same."""
    reach = HighWaterMark(Notes())
    made = 0

    async def attempt():
        nonlocal made
        made += 1
        reach.restart()
        for name in ("digests", "documents", "rescan", "indexes")[made > 1 : made + 1]:
            size = 1000 if name == "digests" else 10
            reach.phase(name, size)
            reach.advance(size)
        raise INTERRUPTED

    with pytest.raises(InterruptedRunError):
        await retry_transient(attempt, Notes(), best_progress=lambda: reach.furthest)

    assert 2 + ATTEMPTS == made
