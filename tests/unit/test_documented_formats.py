"""What the pages on file formats list is what the code writes, field by field."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from results import IDS, a_plan, a_result, a_rollback, a_validation

from newbi_migrate.backup.export_list import ExportEntry
from newbi_migrate.backup.manifest import (
    FORMAT,
    CollectionEntry,
    Consistency,
    Manifest,
)
from newbi_migrate.errors import ExitCode
from newbi_migrate.migration.rehearsal.results import Rehearsal, Step, StepName
from newbi_migrate.report.document import header
from newbi_migrate.report.migration import plan_document, result_document
from newbi_migrate.report.rehearsal import rehearsal_document
from newbi_migrate.report.rollback import rollback_document
from newbi_migrate.report.validation import validation_document
from newbi_migrate.report.writing import FORMATS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def section(page, title):
    """The text below a heading, up to the next one of its kind."""
    text = (REFERENCE / page).read_text("utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text):
    """The cells of every row of every table."""
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [re.split(r" ?\| ?", line) for line in lines]


def names(text):
    """What stands in code font, as far as it is a name."""
    return set(re.findall(r"`([a-zA-Z][a-zA-Z-]*)`", text))


def camel(kind):
    """The fields of a dataclass as JSON names them."""
    return {
        re.sub(r"_(.)", lambda found: found[1].upper(), field.name)
        for field in dataclasses.fields(kind)
    }


def test_each_type_of_an_ndjson_line_has_the_keys_that_are_listed():
    """For every type that a result of every use-case with a little of everything gives."""
    emails = {str(IDS[0]): "j***@e***.fr"}
    given = defaultdict(set)
    verified = Step(StepName.VERIFY, 0.1, ExitCode.DONE, "5 documents")
    rehearsal = Rehearsal(Path("backup"), "newbi", "MongoDB", [verified])
    for document in (
        rehearsal_document(rehearsal, night=()),
        plan_document(a_plan(), emails=emails),
        result_document(a_result(), command="migrate", emails=emails),
        validation_document(a_validation()),
        rollback_document([a_rollback()]),
    ):
        for line in document.lines():
            given[line["type"]] |= line.keys() - {"type"}
    listed = {
        name.strip("`"): names(keys)
        for name, _, keys in (row for row in rows(section("reports.md", "NDJSON")) if row[2:])
        if name.startswith("`")
    }
    # Its counts are those of the command's JSON, which has a page of its own.
    given["collection"] = {"collection"}

    assert given == listed


def test_the_first_line_of_ndjson_has_the_keys_that_are_listed():
    """And its type, which is the only one of its kind."""
    text = section("reports.md", "NDJSON").partition("|")[0]
    keys = header(plan_document(a_plan()), datetime.now(UTC)).keys()

    assert set(keys) == names(text) - {"report", "type"}


def test_every_format_of_a_report_is_listed():
    """By the end of the file's name."""
    text = (REFERENCE / "reports.md").read_text("utf-8").partition("\n## ")[0]

    assert set(FORMATS) == set(re.findall(r"^\| `(\.\w+)`", text, re.MULTILINE))


def test_the_manifest_of_a_backup_has_the_fields_that_are_listed():
    """Of the backup, of each collection, with the name of the format; and the list of exports."""
    listed = {}
    for keys, content in rows(section("backup-format.md", "manifest.json")):
        listed |= dict.fromkeys(names(keys), content)

    assert camel(Manifest) | {"format", "seal"} == set(listed)
    assert camel(CollectionEntry) == names(listed["collections"])
    assert f"`{FORMAT}`" == listed["format"]
    assert camel(ExportEntry) <= names(section("backup-format.md", "Exports"))


def test_every_kind_of_consistency_is_explained():
    """A reader of a manifest learns what was known about writes."""
    text = section("backup-format.md", "The moment it shows")

    assert {kind.value for kind in Consistency} <= names(text)
