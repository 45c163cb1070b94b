"""Whatever bytes a file or a server gives, a reader answers, or refuses in the way it says."""

from __future__ import annotations

import io

import pytest
from bson.errors import InvalidBSON
from fuzzing import TARGETS, attack
from hypothesis import given, settings, strategies as st

from newbi_migrate.backup.metadata import MetadataError, parse_metadata
from newbi_migrate.backup.reading import DamagedDataError, whole_documents
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.raw import elements


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_mutation_of_what_it_reads_breaks_a_reader(name, tmp_path):
    """Some hundred each here; the same by the million: ``tests/support/fuzzing.py``."""
    for seed in range(300):
        attack(name, seed, tmp_path)


@given(data=st.binary())
@settings(max_examples=300)
def test_no_bytes_break_a_reader(data):
    """Bytes that were never anything."""
    for read, refusals in (
        (lambda: list(whole_documents(io.BytesIO(data))), (DamagedDataError,)),
        (lambda: list(elements(data)), (ValueError,)),
        (lambda: decode(data), (InvalidBSON,)),
        (lambda: parse_metadata(data.decode("utf-8", "replace")), (MetadataError,)),
    ):
        try:
            read()
        except refusals:
            continue
