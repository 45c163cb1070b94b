"""The worlds that are drawn reach what the laws speak of, often enough for a law to bite."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import Phase, given, settings
from small_worlds import policies, small_worlds

from newbi_migrate.mapping.account import password_kind
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.email import normalise_email
from newbi_migrate.mapping.users import Insert
from newbi_migrate.mapping.workspace import Reason

EXAMPLES = 300
# Of a hundred legacy users, at least so many: about half of what is drawn, since Hypothesis draws
# otherwise where other modules are imported.
LEAST = {
    "created": 15,
    "present": 8,
    "aliased": 8,
    "with a hash": 40,
    "without a hash": 25,
    "twins": 4,
    "twins of whom one stays": 0.7,
    "aliased with a new account": 2,
    "aliased and never verified": 2,
    "present with a new account": 3,
    "present with an account by text": 0.3,
    "an address that is refused": 3,
    "kept out": 12,
}


@pytest.fixture(scope="module")
def shares():
    """How many of a hundred legacy users are what, over the examples that are drawn."""
    counts, total = Counter(), 0

    @settings(max_examples=EXAMPLES, database=None, derandomize=True, phases=[Phase.generate])
    @given(
        world=small_worlds(),
        policy=policies,
    )
    def count(world, policy):
        nonlocal total
        legacy, database = world
        planned = database.plan(legacy, **policy)
        counts.update(_staying_twins(legacy, planned))
        for document, writes in zip(legacy, planned, strict=True):
            total += 1
            counts.update(_of(document, writes))

    count()
    return {name: 100 * counts[name] / total for name in LEAST}


def _staying_twins(legacy, planned):
    emails = [normalise_email(document.get("email")) for document in legacy]
    left_out = {
        email
        for email, writes in zip(emails, planned, strict=True)
        if writes.decision.reason is Reason.DUPLICATE_EMAIL
    }
    for email, writes in zip(emails, planned, strict=True):
        if email in left_out and writes.decision.user_id is not None:
            yield "twins of whom one stays"


def _of(document, writes):
    decision, codes = writes.decision, {finding.code for finding in writes.findings}
    yield decision.outcome.value
    hashed = password_kind(document.get("password")).is_hash
    yield "with a hash" if hashed else "without a hash"
    account = any(isinstance(w, Insert) and w.collection == "account" for w in writes.writes)
    if account:
        yield f"{decision.outcome.value} with a new account"
    if "password-not-carried" in codes:
        yield "aliased and never verified"
    if "account-user-id-text" in codes and decision.outcome is Outcome.PRESENT:
        yield "present with an account by text"
    if decision.reason is Reason.DUPLICATE_EMAIL:
        yield "twins"
    if "email-refused" in codes:
        yield "an address that is refused"
    if {"user-disabled", "user-banned"} & codes:
        yield "kept out"


@pytest.mark.slow
@pytest.mark.parametrize("what", LEAST)
def test_the_worlds_reach_what_the_laws_speak_of(shares, what):
    """A law about people of whom none is drawn is no law."""
    assert shares[what] >= LEAST[what]
