"""How stored values are read: text, flags, dates and ids, of whatever type they are."""

from __future__ import annotations

import pickle
import sys
from copy import copy, deepcopy
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bson import Decimal128, Int64, MinKey, ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from bson.son import SON

from newbi_migrate.mapping.values import (
    ABSENT,
    IdForm,
    StoredId,
    date_of,
    flag,
    get_path,
    is_missing,
    legacy_flag,
    read_id,
    text,
    trim,
    write_id,
)

ID = ObjectId("64b0000000000000000000ab")
HEX = str(ID)
DAY = datetime(2025, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
NAIVE = DAY.replace(tzinfo=None)


def test_absent_is_false_and_shows_its_name():
    """A field that is not there is a value of its own, and no truth."""
    assert not ABSENT
    assert "ABSENT" == repr(ABSENT)
    assert ABSENT is not None


@pytest.mark.parametrize("again", [copy, deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_there_is_one_absent(again):
    """However it is copied or sent elsewhere, it is the same object."""
    assert again(ABSENT) is ABSENT
    assert again({"a": ABSENT})["a"] is ABSENT


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("Atelier", "Atelier"),
        ("  l'Atelier Zoé \n", "l'Atelier Zoé"),
        ("", None),
        (" \t\n", None),
        ("\u00a0", None),
        ("\ufeffAtelier\ufeff", "Atelier"),
        ("\ufeff", None),
        ("\x1cAtelier\x85", "\x1cAtelier\x85"),
        ("\x1f", "\x1f"),
        (None, None),
        (ABSENT, None),
        (0, None),
        (b"Atelier", None),
        (["Atelier"], None),
    ],
)
def test_text_is_a_trimmed_string_or_nothing(stored, expected):
    """Blanks around a text are dropped, a blank text is none, and nothing is turned into one."""
    assert expected == text(stored)


def test_what_is_trimmed_is_what_javascript_trims():
    """Of all characters these 25 are blank to `trim()`: asked of Node.js."""
    spaces = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"
    blank = {*spaces, *map(chr, range(0x2000, 0x200B))}

    assert blank == {c for c in map(chr, range(sys.maxunicode + 1)) if not trim(c)}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(True, True), (False, False), (1, None), (0, None), ("true", None), (None, None)],
)
def test_a_flag_is_a_boolean_and_nothing_else(stored, expected):
    """Better Auth's own flags are never coerced."""
    assert expected is flag(stored)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (True, True),
        (1, True),
        (Int64(1), True),
        (1.0, True),
        ("1", True),
        ("true", True),
        ("yes", True),
        (False, False),
        (0, False),
        (Int64(0), False),
        (-0.0, False),
        ("0", False),
        ("false", False),
        ("no", False),
        (2, None),
        (0.5, None),
        (float("nan"), None),
        ("TRUE", None),
        (" true", None),
        ("", None),
        ("oui", None),
        (None, None),
        (ABSENT, None),
        ([], None),
        ({}, None),
        (Decimal128("1"), None),
    ],
)
def test_a_legacy_flag_is_what_mongoose_makes_of_it(stored, expected):
    """Ones, zeros and four words count as the legacy application counts them; no other does."""
    assert expected is legacy_flag(stored)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (ABSENT, True),
        (None, True),
        ("", True),
        (" \n", True),
        ("\ufeff", True),
        ("\x1c", False),
        ("x", False),
        (0, False),
        (False, False),
        ([], False),
        ({}, False),
        (b"", False),
        (float("nan"), False),
    ],
)
def test_absent_null_and_blank_say_nothing(stored, expected):
    """A value is missing only so; zero, false and empty lists say something."""
    assert expected is is_missing(stored)


NESTED = {"a": {"b": {"c": None}, "list": [{"c": 1}]}, "a.b": 7, "": {"x": 1}}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), NESTED),
        (("a", "b", "c"), None),
        (("a", "b"), {"c": None}),
        (("a.b",), 7),
        (("", "x"), 1),
        (("missing",), ABSENT),
        (("a", "missing"), ABSENT),
        (("a", "missing", "deeper"), ABSENT),
        (("a", "b", "c", "deeper"), ABSENT),
        (("a.b", "deeper"), ABSENT),
        (("a", "list", "c"), ABSENT),
    ],
)
def test_digging_stops_where_the_path_ends_early(path, expected):
    """A path leads through documents alone; where there is none the value is absent."""
    found = get_path(NESTED, *path)

    assert expected is found if expected in (None, ABSENT) else expected == found


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (DAY, DAY),
        (NAIVE, DAY),
        (DAY.astimezone(timezone(timedelta(hours=-5))), DAY),
        (NAIVE + timedelta(microseconds=999), DAY),
        (DatetimeMS(int(DAY.timestamp() * 1000)), DAY),
        (DatetimeMS(-62135596800000), datetime(1, 1, 1, tzinfo=UTC)),
        (DatetimeMS(-62135596800001), None),
        (DatetimeMS(253402300800000), None),
        (DatetimeMS(2**62), None),
        (DatetimeMS(-(2**63)), None),
        ("2025-01-02T03:04:05.678Z", DAY),
        (" 2025-01-02T04:04:05.678901+01:00 ", DAY),
        ("2025-01-02", datetime(2025, 1, 2, tzinfo=UTC)),
        ("2 janvier 2025", None),
        ("2025-02-30", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("", None),
        ("\ud800", None),
        (1735787045678, DAY),
        (Int64(1735787045678), DAY),
        (1735787045678.9, DAY),
        (946684800000, datetime(2000, 1, 1, tzinfo=UTC)),
        (946684799999, None),
        (1735787045, None),
        (253402300800000, None),
        (2.0**80, None),
        (float("inf"), None),
        (float("nan"), None),
        (-1, None),
        (0, None),
        (True, None),
        (Decimal128("1735787045678"), None),
        (None, None),
        (ABSENT, None),
        ({"$date": "2025-01-02"}, None),
    ],
)
def test_a_date_is_in_utc_and_exact_to_the_millisecond(stored, expected):
    """BSON dates, ISO 8601 texts and milliseconds are dates; what Python cannot hold is none."""
    found = date_of(stored)

    assert expected == found
    assert found is None or found.tzinfo is UTC


FORMS = [
    (ID, ID, IdForm.OBJECT_ID),
    (HEX, ID, IdForm.HEX_STRING),
    (HEX.upper(), ID, IdForm.HEX_STRING),
    ({"$oid": HEX}, ID, IdForm.OID_OBJECT),
    (SON({"$oid": HEX.upper()}), ID, IdForm.OID_OBJECT),
]


@pytest.mark.parametrize(("stored", "expected", "form"), FORMS)
def test_an_id_is_understood_in_three_forms(stored, expected, form):
    """An ObjectId, 24 hexadecimal digits and Extended JSON mean the same id."""
    assert StoredId(expected, form) == read_id(stored)


def test_an_id_inside_raw_bson_is_understood():
    """A document that has not been decoded is a document too."""
    raw = RawBSONDocument(b"\x28\0\0\0\x02$oid\0\x19\0\0\0" + HEX.encode() + b"\0\0")

    assert StoredId(ID, IdForm.OID_OBJECT) == read_id(raw)


@pytest.mark.parametrize(
    ("stored", "form"),
    [
        (None, IdForm.NULL),
        (ABSENT, IdForm.MISSING),
        ("", IdForm.MALFORMED),
        ("undefined", IdForm.MALFORMED),
        (HEX[:-1], IdForm.MALFORMED),
        (HEX + "0", IdForm.MALFORMED),
        (HEX + "\n", IdForm.MALFORMED),
        (f" {HEX}", IdForm.MALFORMED),
        (HEX[:-1] + "g", IdForm.MALFORMED),
        ("\uff11" * 24, IdForm.MALFORMED),
        (42, IdForm.MALFORMED),
        (MinKey(), IdForm.MALFORMED),
        (ID.binary, IdForm.MALFORMED),
        ([ID], IdForm.MALFORMED),
        ({}, IdForm.MALFORMED),
        ({"$oid": ID}, IdForm.MALFORMED),
        ({"$oid": "undefined"}, IdForm.MALFORMED),
        ({"$oid": None}, IdForm.MALFORMED),
        ({"oid": HEX}, IdForm.MALFORMED),
        ({"$oid": HEX, "x": 1}, IdForm.MALFORMED),
    ],
)
def test_what_means_no_id_is_told_apart(stored, form):
    """Null, absent and malformed references are different findings, and none of them is an id."""
    assert StoredId(None, form) == read_id(stored)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (IdForm.OBJECT_ID, ID),
        (IdForm.HEX_STRING, HEX),
        (IdForm.OID_OBJECT, {"$oid": HEX}),
    ],
)
def test_an_id_is_written_in_the_form_it_was_read_in(form, expected):
    """Rewriting a reference never changes its type."""
    assert expected == write_id(ID, form)
    assert type(expected) is type(write_id(ID, form))


@pytest.mark.parametrize("form", [IdForm.NULL, IdForm.MISSING, IdForm.MALFORMED])
def test_a_form_without_an_id_cannot_be_written(form):
    """Asking for it is a mistake in the program, and says which form it was."""
    with pytest.raises(ValueError, match=f"^a reference in the form '{form}' holds no id$"):
        write_id(ID, form)
