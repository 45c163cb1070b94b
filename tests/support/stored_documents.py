"""Documents as a server may hold them: good ones, bent ones and wild ones of each model."""

from __future__ import annotations

from bson import ObjectId, Regex
from hypothesis import strategies as st

from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.testing import strategies


@st.composite
def bent(draw, model: type[DocumentModel]):
    """A document that keeps its rules, with the values of some of its fields exchanged."""
    return _bend(draw, draw(strategies.documents(model)))


def _bend(draw, document):
    paths = [(document, key) for key in document]
    for value in list(document.values()):
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                paths += [(inner, key) for key in inner]
    for holder, key in draw(st.lists(st.sampled_from(paths), max_size=3)) if paths else ():
        kind = draw(st.sampled_from(("gone", "null", "blank", "list", "any", "any")))
        if kind == "gone":
            holder.pop(key, None)
        elif kind == "list":
            # Comparisons of a match look into lists, and must not be misled by what is in them.
            holder[key] = [holder.get(key)]
        else:
            holder[key] = {"null": None, "blank": " \u00a0"}.get(kind) or draw(
                strategies.bson_values() if kind == "any" else st.none()
            )
    return document


def storable(document, position):
    """The document with an ``_id`` a server takes, and no two the same."""
    identifier = document.get("_id", ObjectId())
    if isinstance(identifier, list | Regex | dict) or identifier is None:
        identifier = ObjectId()
    if not isinstance(identifier, ObjectId):
        identifier = f"{position}"
    return {"_id": identifier, **{k: v for k, v in document.items() if k != "_id"}}


def stored(model):
    """A few documents of a model, good and bad."""
    one = st.one_of(
        strategies.wild_documents(model, unknown_fields=False),
        strategies.documents(model),
        strategies.documents_breaking_one_rule(model),
        bent(model),
    )
    return st.lists(one, min_size=1, max_size=12).map(
        lambda found: list(
            {str(d["_id"]): d for d in (storable(d, n) for n, d in enumerate(found))}.values()
        )
    )
