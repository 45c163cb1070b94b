"""The page on JSON answers, made from their types: ``python -m newbi_migrate.report.answers``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from newbi_migrate.answers import schema_of
from newbi_migrate.backup.compare import Comparison
from newbi_migrate.backup.export_list import Exports
from newbi_migrate.backup.manifest import FORMAT, Manifest
from newbi_migrate.backup.verification import Verification
from newbi_migrate.migration.checklist import Checklist
from newbi_migrate.migration.doctor import Diagnosis
from newbi_migrate.migration.finalize.results import FinalizeResult
from newbi_migrate.migration.planning.rehearsed import SinceRehearsal
from newbi_migrate.migration.planning.results import Plan, RunResult
from newbi_migrate.migration.rehearsal.results import Rehearsal
from newbi_migrate.migration.restore.aside import DroppedAside
from newbi_migrate.migration.restore.results import RestoreResult
from newbi_migrate.migration.rollback.results import RollbackResult
from newbi_migrate.migration.status import Status
from newbi_migrate.migration.validation.report import FoundViolation, ValidationReport
from newbi_migrate.report.backups import BackupPreview, RestorePreview
from newbi_migrate.report.checklist import ShortForm
from newbi_migrate.smoke import SmokeResult

__all__ = ["answers_page", "main"]

_INTRODUCTION: Final = """\
# JSON answers

<!-- Written by `python -m newbi_migrate.report.answers`; changes made here are lost. -->

With `--json` every command prints one JSON document on standard output, and nothing else there.
`status --watch` prints one a line. Ids of documents are relaxed Extended JSON, so that an ObjectId
(`{"$oid": "…"}`) and a text differ; the id of a run is a text, as `--run` takes it. Times are UTC
in ISO 8601, timings seconds. [The types](#types) of what stands within an answer are at the end of
the page.

## An error

`error`, with:

| key | content |
|---|---|
| `what` | what happened and where; never a secret |
| `next` | what to do |
| `exitCode` | what the process ends with |
"""

_SAVED_PLAN: Final = """\
What `plan --output FILE` writes and `migrate --plan FILE` follows. One JSON document with a line
for each decision, written and read line by line, so that a million users need no more memory than
one. A file whose lines are not those that were written, or of another format, is refused.

| key | content |
|---|---|
| `format` | `newbi-migrate plan 2` |
| `database`, `source`, `policy`, `digests`, `outcomes`, `collections` | as in a plan |
| `users` | for each legacy user: `legacyId` in canonical Extended JSON, `outcome`, `reason`, `userId`, `workspaceId` |
| `owners` | `userId` and `workspaceId` of those who have a workspace and are no legacy users |
| `checksum` | of all lines before it |

A digest is a sum, modulo 2^128, of one XXH3 hash for each document that gets a value, is created,
filled or quarantined, and for each index that is created, is deferred or cannot be created. So
neither the order nor the batch size matters, and what an interrupted run has done and what is left
add up to its plan.
"""  # noqa: E501  # a row of a table is one line

_OTHERS: Final = """\
`schema` answers the name of each collection with its validator. `demo` answers `seed`, `before`
(documents by collection), `run`, `status`, `again` and `back` (the answers of the commands it
shows), and `seconds`.
"""

_EXIT: Final = {"exitCode": ("number", "What the process ends with.")}


@dataclass(frozen=True, slots=True)
class _Section:
    """What a command answers.

    Attributes:
        title: The command.
        kind: The type of its answer; ``None`` where it has none of its own.
        words: What is said before.
        more: Keys beside those of the type, each with a type and what it means.
        without: Keys of the type that are left out.
        after: What is said in the end.
    """

    title: str
    kind: type | None = None
    words: str = ""
    more: Mapping[str, tuple[type | str, str]] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    after: str = ""


_SECTIONS: Final = (
    _Section(
        "plan",
        Plan,
        "Of `migrate --dry-run` and `backfill --dry-run` too. With `--rehearsed`, "
        "`sinceRehearsal` beside, a [SinceRehearsal](#sincerehearsal).",
    ),
    _Section("A saved plan", after=_SAVED_PLAN),
    _Section(
        "rehearse",
        Rehearsal,
        more={"night": ("list of string", "The commands to type on the night, in order.")},
    ),
    _Section("checklist", Checklist),
    _Section("migrate, backfill", RunResult),
    _Section(
        "status",
        Status,
        more={"checklist": (ShortForm, "The checklist in short, or null where it is not known.")},
    ),
    _Section(
        "validate",
        ValidationReport,
        more={
            "violations": (
                FoundViolation,
                (
                    "The first few of each rule in each collection, with `--detailed` all; a "
                    "document is named once for each of its fields that break the rule."
                ),
            )
        },
    ),
    _Section(
        "rollback",
        RollbackResult,
        "With `--all`, of the oldest run, which is taken back last; the later ones are in "
        "`before`, the newest first; and ahead of them runs that were taken back earlier, if "
        "something of them was left. The process ends with the greatest of their exit codes.",
    ),
    _Section("unlock", more={"ended": ("string, null", "The run whose lease was ended.")}),
    _Section("indexes, finalize", FinalizeResult),
    _Section(
        "backup",
        Manifest,
        "With `--dry-run` a [BackupPreview](#backuppreview).",
        {
            "path": ("string", "Its folder."),
            "format": ("string", f"`{FORMAT}`."),
            "seal": ("string", "The digest of all that it says of itself."),
            **_EXIT,
        },
        ("files",),
    ),
    _Section("backup --exports-only", Exports, more=_EXIT),
    _Section(
        "verify-backup",
        Verification,
        more={"comparison": (Comparison, "With `--compare`, else null."), **_EXIT},
    ),
    _Section("restore", RestoreResult, "With `--dry-run` a [RestorePreview](#restorepreview)."),
    _Section("drop-aside", DroppedAside),
    _Section("doctor", Diagnosis),
    _Section("smoke", SmokeResult),
    _Section("schema, demo", after=_OTHERS),
)
_OF_THEIR_OWN: Final = {one.kind.__name__: one.title for one in _SECTIONS if one.kind}
_BESIDE: Final = (SinceRehearsal, BackupPreview, RestorePreview)


def answers_page() -> str:
    """The page, as Markdown."""
    types: dict[str, Any] = {}
    for kind in _BESIDE:
        types |= schema_of(kind)["$defs"]
    text = "\n".join(_sections(types))
    within = {
        name: "\n".join(_type_of_its_own(name, schema))
        for name, schema in sorted(types.items())
        if name not in {*_OF_THEIR_OWN, "ExitCode"}
    }
    whole = text + "".join(within.values())
    named = (said for name, said in within.items() if _link(name) in whole)
    return "\n".join([text, "\n## Types", *named]) + "\n"


def main() -> None:
    """Write the page to standard output, in UTF-8 whatever the terminal is."""
    sys.stdout.buffer.write(answers_page().encode())


def _sections(types: dict[str, Any]) -> Iterator[str]:
    """The sections; the types of what stands within an answer are added to those."""
    yield _INTRODUCTION.rstrip()
    for section in _SECTIONS:
        yield f"\n## {section.title}\n"
        if section.words:
            yield f"{section.words}\n"
        if section.kind is not None or section.more:
            yield from _table(section, types)
        if section.after:
            yield section.after.rstrip()


def _table(section: _Section, types: dict[str, Any]) -> Iterator[str]:
    yield "| key | type | content |"
    yield "|---|---|---|"
    if section.kind is not None:
        schema = schema_of(section.kind)
        types |= schema["$defs"]
        yield from _rows(schema["$defs"][section.kind.__name__], section.without)
    for key, (kind, meaning) in section.more.items():
        if isinstance(kind, type):
            types |= schema_of(kind)["$defs"]
            yield _row(key, _link(kind.__name__), meaning)
        else:
            yield _row(key, kind, meaning)


def _type_of_its_own(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### {name}\n"
    yield _words(schema["description"])
    if "enum" in schema:
        yield "\n" + ", ".join(f"`{value}`" for value in schema["enum"])
    else:
        yield "\n| key | type | content |"
        yield "|---|---|---|"
        yield from _rows(schema)


def _rows(schema: Mapping[str, Any], without: tuple[str, ...] = ()) -> Iterator[str]:
    for key, of_key in schema["properties"].items():
        if key not in without:
            yield _row(key, _type(of_key), of_key.get("description", ""))


def _row(key: str, kind: str, meaning: str) -> str:
    return f"| `{key}` | {kind} | {_words(meaning)} |"


def _type(schema: Any) -> str:
    """The type of a value, in words."""
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return ", ".join(map(_type, schema["anyOf"]))
    inner = schema.get("items") or schema.get("additionalProperties")
    if schema.get("type") == "array":
        return f"list of {_type(inner)}" if isinstance(inner, dict) else "list"
    if "$oid" in schema.get("properties", {}):
        return "id"
    if schema.get("type") == "object" and isinstance(inner, dict):
        return f"by name, {_type(inner)}"
    return str(schema.get("type", "any")).replace("integer", "number")


def _link(name: str) -> str:
    if name == "ExitCode":
        return "[exit code](cli.md#exit-codes)"
    title = _OF_THEIR_OWN.get(name, name)
    return f"[{title}](#{re.sub(r'[^a-z-]', '', title.lower().replace(' ', '-'))})"


def _words(description: str) -> str:
    """A docstring as Markdown, in the words of JSON."""
    text = re.sub(r":\w+:`[~.]?(?:[\w.]+\.)?(\w+)`", r"`\1`", description).replace("``", "`")
    for python, json in (("`None`", "null"), ("`True`", "true"), ("|", "\\|")):
        text = text.replace(python, json)
    return " ".join(text.split())


if __name__ == "__main__":
    main()
