"""Documents that are right but for one value, which may be any, at any depth."""

from __future__ import annotations

import copy

from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

from newbi_migrate.testing import strategies


def _places(value):
    """Every place inside a value, as what holds it and the key or position there."""
    for key, held in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(held, dict | list):
            yield from _places(held)


@st.composite
def spoiled_documents(draw, model):
    """A valid document in which any value, however deep, is replaced by any value of BSON."""
    document = copy.deepcopy(draw(strategies.documents(model)))
    holder, key = draw(st.sampled_from(list(_places(document))))
    holder[key] = draw(st.one_of(st.none(), strategies.bson_values()))
    return document


def has_no_text(value):
    """Whether JSON cannot say a value that keeps every rule: a date or a number beyond any."""
    if isinstance(value, dict | list):
        return any(map(has_no_text, value.values() if isinstance(value, dict) else value))
    return isinstance(value, DatetimeMS) or (
        isinstance(value, float) and not -1e308 < value < 1e308
    )
