"""Numbers become the text that the application reads in their place."""

from __future__ import annotations

import pytest
from bson import Decimal128, Int64

from newbi_migrate.mapping.numbers import cast_text, number_text


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (75001, "75001"),
        (Int64(12345678901234), "12345678901234"),
        (2**63 - 1, "9223372036854775807"),
        (75001.0, "75001"),
        (-1.5, "-1.5"),
        (0.0, "0"),
        (-0.0, "0"),
        (123.25, "123.25"),
        (100.0, "100"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.25e21, "1.25e+21"),
        (0.000001, "0.000001"),
        (0.0000012, "0.0000012"),
        (1e-7, "1e-7"),
        (-1.5e-9, "-1.5e-9"),
        (Decimal128("1000.50"), "1000.50"),
        (Decimal128("1E+3"), "1E+3"),
    ],
)
def test_a_number_is_written_as_javascript_writes_it(stored, expected):
    """Integers, doubles and decimals, with JavaScript's own bounds for exponents."""
    assert expected == number_text(stored)
    assert expected == cast_text(stored)


@pytest.mark.parametrize(
    "stored",
    [float("nan"), float("inf"), Decimal128("NaN"), Decimal128("-Infinity"), True, None, [1], {}],
)
def test_what_is_no_amount_is_no_text(stored):
    """Infinity, a flag, a list: nobody's postal code."""
    assert number_text(stored) is None
    assert cast_text(stored) is None


@pytest.mark.parametrize(("stored", "expected"), [(" 75001 ", "75001"), ("", None), (" ", None)])
def test_text_stays_the_text_it_is(stored, expected):
    """A string is trimmed and no number is looked for in it."""
    assert number_text(stored) is None
    assert expected == cast_text(stored)
