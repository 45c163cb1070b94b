"""The page of documentation that lists every rule, made from the rules themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.documents.better_auth import Account, Invitation, Member, Organization, User
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.documents.newbi import NEWBI
from newbi_migrate.documents.registry import Registry
from newbi_migrate.documents.shapes import rules_of
from newbi_migrate.migration.validation.rules import STRUCTURAL
from newbi_migrate.rules import Rule

__all__ = ["rules_page"]

_PEOPLE: Final = (User, Account, Organization, Member, Invitation, LegacyUser)

_INTRODUCTION: Final = """\
# Rules

<!-- Written by `python -m newbi_migrate.report`; changes made here are lost. -->

Every rule that must hold, with the id by which `validate --only` and a violation name it. A
`critical` one that a migration broke fails a validation. Rules of the models are those of the
application's own validators; stored documents may break any of them, so they are told and never
acted upon.

## What a run caused, what is not migrated yet, and what was there before

The journal says what a run wrote. A violation is the run's where its rule reads a field that the
run wrote, or a document that it created, whoever changed it since. It is the run's too where
something is missing that the run made: a user, an account, an index.

A user or a document that lacks what a migration writes, and that no run has written to or recorded
as quarantined, is not migrated yet: it came since, or was left out by `--collections`. So is what
lacks a user, a workspace or an index after a part of a run was taken back, or while a run is
interrupted. This fails a validation with 3 and is no reason to go back; another `migrate` or
`backfill` ends it.

Everything else counts as there before, also what came since. So do three things although a run
wrote there, since the journal and the documents show it:

- an owner that it rewrote and left in the BSON type it had;
- two documents, one of which refers to the other, that got the workspaces of different owners and
  hold them still;
- documents of one owner that share a key, where no run could build the unique index.

Where no journal says anything, the origin is unknown and counts like the run's: before a migration,
after its rollback, and once `finalize --drop-journal` has dropped it.
"""

_STRUCTURE: Final = """\
## Structure

What must hold across collections once a database is migrated. What was quarantined, and recorded
so, breaks none of these rules. *What to do* is said for a database that was migrated; before that,
and while a run is unfinished, `validate` names `migrate` instead of `backfill` and `indexes`, which
come after it.
"""

_MODELS: Final = """\
## Models

What must hold within a document. A rule is declared once, on a field or on a model, and serves the
strict construction of new documents, this page, the tests and `validate`: the server is asked who
may break one, and only these documents are looked at one by one.

*Asked* says what the server understands: `$jsonSchema` the rule itself, wherever it stands in a
document; `$expr` a comparison of fields; *Python* nothing, so that every document is read.
"""


def rules_page(registry: Registry = NEWBI) -> str:
    """The page, as Markdown.

    Args:
        registry: The collections whose models it lists, beside those of users.
    """
    return "\n".join(_lines(registry)) + "\n"


def _lines(registry: Registry) -> Iterator[str]:
    yield _INTRODUCTION
    yield _STRUCTURE
    yield "| rule | severity | what must hold | what to do | asked |"
    yield "|---|---|---|---|---|"
    for rule in STRUCTURAL.values():
        yield _row(f"`{rule.id}`", rule.severity.value, rule.sentence, rule.next_step, rule.asked)
    yield ""
    yield _MODELS
    yield "| rule | severity | what must hold | asked | in |"
    yield "|---|---|---|---|---|"
    for rule_id, (declared, asked, places) in sorted(_of_models(registry).items()):
        yield _row(
            f"`{rule_id}`",
            declared.severity.value,
            declared.sentence,
            asked,
            ", ".join(sorted(places)),
        )


def _of_models(registry: Registry) -> dict[str, tuple[Rule, str, set[str]]]:
    models: set[type[DocumentModel]] = {*_PEOPLE}
    models |= {spec.model for spec in registry if spec.model is not None}
    found: dict[str, tuple[Rule, str, set[str]]] = {}
    for model in sorted(models, key=lambda each: each.__name__):
        for rule in model.declared_rules():
            kept = found.setdefault(rule.id, (rule, _asked(model, rule), set()))
            kept[2].add(model.__name__)
    return found


def _asked(model: type[DocumentModel], rule: Rule) -> str:
    if rule.id not in model.server_checkable_rules():
        return "Python"
    compares = any(own.id == rule.id and own.violators() is not None for own in rules_of(model))
    return "`$expr`" if compares else "`$jsonSchema`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
