"""Report files: which format, in place of what, and written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from os.path import realpath
from pathlib import Path
from typing import Final

from newbi_migrate.errors import UsageError
from newbi_migrate.local_files import is_there, opened_for
from newbi_migrate.report.document import GENERATOR, Document, header
from newbi_migrate.report.files import refuse_unwritable, write_privately
from newbi_migrate.report.json import json_parts

__all__ = ["FORMATS", "refuse_as_report", "write_report"]


def _html(document: Document, written_at: datetime) -> Iterable[str]:
    from newbi_migrate.report.html import html_report

    return html_report(document, written_at=written_at)


def _junit(document: Document, written_at: datetime) -> Iterable[str]:
    from newbi_migrate.report.junit import junit_report

    return junit_report(document, written_at=written_at)


def _ndjson(document: Document, written_at: datetime) -> Iterable[str]:
    from newbi_migrate.report.ndjson import ndjson_report

    return ndjson_report(document, written_at=written_at)


def _json(document: Document, written_at: datetime) -> Iterable[str]:
    return json_parts({"report": header(document, written_at), **document.value()})


FORMATS: Final[Mapping[str, Callable[[Document, datetime], Iterable[str]]]] = {
    ".html": _html,
    ".json": _json,
    ".ndjson": _ndjson,
    ".xml": _junit,
}
"""The end of a file's name to what writes it."""

# A page says what made it in its fourth line, every other format in its first or second.
_MARKED_WITHIN: Final = 400


def refuse_as_report(path: Path, taken: Iterable[Path | None] = ()) -> None:
    """Fails where a report could or should not be written, before any work is done for it.

    Args:
        path: Where the report is to be.
        taken: Other files that the command reads or writes.

    Raises:
        UsageError: The format is unknown, the place takes no file, or what is there is no report.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"The format of the report {str(path)!r} cannot be told from its name.",
            next_step=f"Let its name end in {', '.join(FORMATS)}.",
        )
    refuse_unwritable(path)
    # Path.resolve raises where links lead in a circle.
    if any(other is not None and realpath(other) == realpath(path) for other in taken):
        raise UsageError(
            f"{str(path)!r} is named twice, as a report and as something else.",
            next_step="Name another file for the report.",
        )
    _refuse_other_file(path)


def write_report(path: Path, document: Document, *, written_at: datetime) -> None:
    """Writes a report, readable by its owner alone, all of it or nothing.

    Args:
        path: Where; the end of its name is the format.
        document: What it says.
        written_at: The time, with its offset from UTC.

    Raises:
        UsageError: It cannot be written, or something else came to be there meanwhile.
    """
    _refuse_other_file(path)
    write_privately(path, FORMATS[path.suffix.lower()](document, written_at))


def _refuse_other_file(path: Path) -> None:
    """A report may take the place of a report, and of nothing else."""
    another = "Name another file."
    if not is_there(path, next_step=another):
        return
    with (
        opened_for("read", path, next_step=another),
        path.open(encoding="utf-8", errors="replace") as file,
    ):
        ours = GENERATOR in file.read(_MARKED_WITHIN)
    if not ours:
        raise UsageError(
            f"{str(path)!r} exists already and is not a report; it was left alone.",
            next_step="Name another file, or remove that one.",
        )
