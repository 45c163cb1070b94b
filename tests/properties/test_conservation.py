"""Laws of the proof of conservation: what was written can be taken back to the byte."""

from __future__ import annotations

import copy

import bson
from bson import ObjectId
from hypothesis import given, strategies as st

from newbi_migrate.migration.validation.conservation import _set_back, _Step
from newbi_migrate.store.digest import Digest
from newbi_migrate.store.raw import element_of

NAMES = st.sampled_from(["a", "b", "c", "createdBy"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.builds(ObjectId),
    st.lists(st.integers(0, 3), max_size=3),
)
DOCUMENTS = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(LEAVES, inner), max_size=4),
    max_leaves=8,
)


@st.composite
def writes(draw, document):
    """What a run may set: paths whose parents are there, as ``$set`` would write them."""
    chosen = {}
    for _ in range(draw(st.integers(1, 3))):
        path, here = [], document
        while True:
            name = draw(NAMES)
            path.append(name)
            if not isinstance(here.get(name), dict) or draw(st.booleans()):
                break
            here = here[name]
        overlaps = any(tuple(path[: len(p)]) == p or p[: len(path)] == tuple(path) for p in chosen)
        if not overlaps:
            chosen[tuple(path)] = draw(LEAVES)
    return chosen


def applied(document, values):
    """The document after these values were set, and the step a journal would tell of it."""
    after = copy.deepcopy(document)
    prior = {}
    for path, value in values.items():
        here = after
        for name in path[:-1]:
            here = here[name]
        if path[-1] in here:
            prior[path] = element_of(here[path[-1]])
        here[path[-1]] = value  # in its place, or at the end
    written = {path: element_of(value) for path, value in values.items()}
    return after, _Step(written, prior)


@given(st.data())
def test_what_was_set_is_set_back_to_the_byte(data):
    """Whatever was set at whatever paths, in however many steps, the document was this one."""
    before = data.draw(DOCUMENTS)
    document, steps = before, []
    for _ in range(data.draw(st.integers(1, 3))):
        document, step = applied(document, data.draw(writes(document)))
        steps.insert(0, step)

    assert bson.encode(before) == _set_back(bson.encode(document), steps)


@given(st.data())
def test_what_somebody_changed_since_is_not_guessed(data):
    """A field that holds neither what was written nor what stood there gives no answer."""
    before = data.draw(DOCUMENTS)
    (values,) = [data.draw(writes(before).filter(lambda chosen: len(chosen) == 1))]
    after, step = applied(before, values)
    ((path, _),) = values.items()
    changed, _ = applied(after, {path: "somebody else's value"})

    assert _set_back(bson.encode(changed), [step]) is None


@given(st.lists(st.dictionaries(NAMES, LEAVES), min_size=1), st.data())
def test_a_document_taken_out_of_a_digest_had_never_been_in_it(documents, data):
    """With or without a field that is left out."""
    raw = [bson.encode(document) for document in documents]
    without = data.draw(st.sampled_from([(), ("a",)]))
    whole, part = Digest(without), Digest(without)
    position = data.draw(st.integers(0, len(raw) - 1))
    for number, one in enumerate(raw):
        whole.add(one)
        if number != position:
            part.add(one)
    whole.remove(raw[position])

    assert part == whole
