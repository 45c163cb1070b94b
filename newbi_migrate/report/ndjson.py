"""Reports as NDJSON: one JSON value a line, the first of which says what the file is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from newbi_migrate.report.contents import Contents, header

__all__ = ["ndjson_report"]


def ndjson_report(contents: Contents, *, written_at: datetime) -> Iterator[str]:
    """The lines of a report, each with its end of line.

    Args:
        contents: What the report says.
        written_at: The time it is written, with its offset from UTC.
    """
    yield json.dumps({"type": "report", **header(contents, written_at)}) + "\n"
    for line in contents.lines():
        yield json.dumps(line) + "\n"
