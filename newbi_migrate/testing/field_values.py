"""Hypothesis strategies for the values of fields, derived from the constraints of their types.

:func:`accepted` draws what a type accepts, its limits among it; :func:`refused` what it just
refuses: one more than a limit, one character too many, the right text in the wrong BSON type.
Whether a value is one or the other, pydantic decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from bson import ObjectId
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter, ValidationError

from newbi_migrate.documents.field_rules import TYPE
from newbi_migrate.documents.shapes import Constraints, Leaf

__all__ = ["accepted", "accepts", "dates", "object_ids", "refused"]

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéèàçÉ"
_MOST: Final = 2**31 - 1
_ALPHABET: Final = f"{_LETTERS}0123456789 '-.,()&/€²\t"
_ONE_CLASS: Final = re.compile(
    r"(?P<class>\[(?:[^\]\\]|\\.)+\])(?:\*|\{(?P<least>\d+)(?P<many>,(?P<most>\d*))?\})", re.DOTALL
)
_STRANGE: Final = ("\n", " ", "\u00a0", "é", "\u00d7", "€", "<", "_", "A", "a", "-", ".", "٣", "1")


def object_ids() -> st.SearchStrategy[ObjectId]:
    """Any ObjectId."""
    return st.binary(min_size=12, max_size=12).map(ObjectId)


def dates() -> st.SearchStrategy[datetime]:
    """A date as PyMongo reads it: without a zone, to the millisecond, from 2015 to 2035."""
    first, last = datetime(2015, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
    return st.integers(int(first.timestamp() * 1000), int(last.timestamp() * 1000)).map(
        lambda ms: datetime.fromtimestamp(ms // 1000, UTC).replace(
            tzinfo=None, microsecond=ms % 1000 * 1000
        )
    )


@cache
def _adapter(leaf: Leaf) -> TypeAdapter[Any]:
    return TypeAdapter(leaf.annotation, config=ConfigDict(arbitrary_types_allowed=True))


def accepts(leaf: Leaf, value: object) -> bool:
    """Whether a stored value keeps the rule of a field."""
    try:
        _adapter(leaf).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@cache
def accepted(leaf: Leaf) -> st.SearchStrategy[Any]:
    """A value that keeps the rule of a field.

    Raises:
        NotImplementedError: The field has a type of a host application, without a rule of ours.
    """
    if leaf.rule is TYPE:
        raise NotImplementedError("A type of a host application has no strategy here.")
    particular = _PARTICULAR.get(leaf.rule.id)
    if particular is not None:
        return particular.filter(lambda value: accepts(leaf, value))
    return st.one_of([_of(choice) for choice in leaf.choices]).filter(
        lambda value: accepts(leaf, value)
    )


def _of(choice: Constraints) -> st.SearchStrategy[Any]:
    if choice.values:
        return st.sampled_from(choice.values)
    if choice.kind is str:
        return _text(choice)
    if choice.kind in (int, float):
        return _number(choice)
    made: st.SearchStrategy[Any] = _PLAIN[choice.bson_types[0]]()
    return made


_PLAIN: Final[Mapping[Any, Any]] = {
    "bool": st.booleans,
    "objectId": object_ids,
    "date": dates,
}


def _text(choice: Constraints) -> st.SearchStrategy[str]:
    low, high = choice.min_length or 0, choice.max_length
    pattern = choice.pattern or ""
    if not pattern.startswith("^(?:"):
        most = min(high or low + 20, low + 20)
        return st.text(_LETTERS, min_size=max(low, 2 if low else 0), max_size=max(most, 2))
    inner = pattern[len("^(?:") : -len(")$")]
    found = _ONE_CLASS.fullmatch(inner)
    if found is None:
        return st.from_regex(re.compile(inner), fullmatch=True)
    # Drawing from an alphabet takes a fraction of the time that a regular expression does.
    alphabet = "".join(c for c in _ALPHABET if re.fullmatch(found["class"], c))
    least = int(found["least"] or low)
    limit = found["most"] if found["many"] else found["least"]
    greatest = min(int(limit or high or least + 20), least + 20)
    return st.text(alphabet, min_size=least, max_size=greatest)


def _number(choice: Constraints) -> st.SearchStrategy[Any]:
    low = choice.ge if choice.ge is not None else choice.gt
    high = choice.le if choice.le is not None else choice.lt
    least = -_MOST if low is None else max(low, -_MOST)
    most = _MOST if high is None else min(high, _MOST)
    if choice.kind is int:
        edges = st.sampled_from(sorted({int(least), int(most), min(max(0, int(least)), int(most))}))
        return edges | st.integers(int(least), int(most))
    if choice.whole:
        return st.integers(1900, 2100).map(float)
    edges_ = st.sampled_from(sorted({float(least), float(most), float(min(max(0, least), most))}))
    return edges_ | st.floats(float(least), float(most), allow_nan=False)


_BCRYPT_ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PARTICULAR: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "field.json-text": st.sampled_from(["{}", "null", '{"companyName": "Newbi"}']),
    "field.normal-email": st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.(fr|com)", fullmatch=True),
    "field.url": st.from_regex(r"(https://)?[a-z]{1,8}\.(fr|com)(/[a-z]{1,8})?", fullmatch=True),
    "field.bcrypt-hash": st.builds(
        "${}$10${}".format,
        st.sampled_from(["2a", "2b", "2y"]),
        st.text(_BCRYPT_ALPHABET, min_size=53, max_size=53),
    ),
    "field.password-hash": st.one_of(
        st.text(_BCRYPT_ALPHABET, min_size=53, max_size=53).map("$2b$10${}".format),
        st.builds(
            lambda salt, key: f"{salt.hex()}:{key.hex()}",
            st.binary(min_size=16, max_size=16),
            st.binary(min_size=64, max_size=64),
        ),
    ),
}


@cache
def refused(leaf: Leaf) -> st.SearchStrategy[Any]:
    """A value that just breaks the rule of a field: near a limit, or of another BSON type.

    Raises:
        NotImplementedError: The field has a type of a host application, without a rule of ours.
    """
    good = accepted(leaf)
    near = [near for choice in leaf.choices for near in _near(choice, good)]
    return st.one_of(near).filter(lambda value: value is not None and not accepts(leaf, value))


def _near(choice: Constraints, good: st.SearchStrategy[Any]) -> Iterator[st.SearchStrategy[Any]]:
    if choice.values:
        yield st.sampled_from(choice.values).map(lambda value: f"{value} ")
        yield st.sampled_from(choice.values).map(str.swapcase)
    elif choice.kind is str:
        texts = good.filter(lambda value: isinstance(value, str))
        yield st.sampled_from([7, True, ""])
        yield st.builds(_bent, texts, st.integers(0, 60), st.sampled_from(_STRANGE))
        yield texts.map(lambda value: value[1:])
        if choice.max_length is not None:
            longest = choice.max_length
            yield texts.map(lambda value: (value or "a") * (longest + 1)).map(
                lambda value: value[: longest + 1]
            )
    elif choice.kind in (int, float):
        limits = [n for n in (choice.ge, choice.gt, choice.le, choice.lt) if n is not None]
        near = [float(n) + d for n in limits if abs(n) < _MOST for d in (-1, -0.25, 0, 0.25, 1)]
        yield st.sampled_from(["1", True, *near, *([2024.5] if choice.whole else [])])
    else:
        yield st.sampled_from([0, "true", "2024-01-01T00:00:00Z"])
        yield object_ids().map(str)


def _bent(value: str, position: int, character: str) -> str:
    return value[:position] + character + value[position:]
