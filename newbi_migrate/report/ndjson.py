"""Documents as NDJSON: one JSON value a line, the first of which says what the file is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from newbi_migrate.report.document import Document, header
from newbi_migrate.report.json import as_json

__all__ = ["ndjson_report"]


def ndjson_report(document: Document, *, written_at: datetime) -> Iterator[str]:
    """The lines of a report, each with its end of line.

    Args:
        document: What the report says.
        written_at: The time it is written, with its offset from UTC.
    """
    yield json.dumps(as_json({"type": "report", **header(document, written_at)})) + "\n"
    for line in document.lines():
        yield json.dumps(as_json(line)) + "\n"
