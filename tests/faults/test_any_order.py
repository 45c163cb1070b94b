"""Any order of runs, interruptions, resumes and rollbacks while the application goes on writing."""

from __future__ import annotations

from any_order import AnyOrder
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from soak import Soak
from sweeps import THOROUGH


def test_any_order_of_runs_and_interruptions_ends_as_the_model_says(
    mongod, servers, processes, database_name, sample
):
    """Users, organizations, memberships and documents are those a plain model expects."""
    stories = sample.of("any order: stories of ten steps", range(200), 3)
    run_state_machine_as_test(
        lambda: AnyOrder(mongod, servers.client(mongod), processes, database_name),
        settings=settings(max_examples=len(stories), stateful_step_count=10),
    )


def test_a_soak_of_a_few_seconds_ends_as_the_model_says(sweep_server, servers, processes):
    """The application writes at the same time; the same for an hour: ``tests/support/soak.py``."""
    soak = Soak(sweep_server, servers.client(sweep_server), processes, seed=0)
    try:
        soak.go_on(60 if THOROUGH else 1)
    finally:
        soak.close()

    assert soak.did["migrate"] > 0
