"""The text ``backup_report.txt``: what a person wants to know of a backup they have before them."""

from __future__ import annotations

from newbi_migrate.backup import layout
from newbi_migrate.backup.manifest import Consistency, Manifest
from newbi_migrate.printable import printable

__all__ = ["report_text"]


def report_text(manifest: Manifest) -> str:
    """The report, without personal data."""
    width = max([10, *(len(entry.name) for entry in manifest.collections)])
    lines = [
        f"Backup of the database {manifest.database}",
        "",
        f"Started    {manifest.started}",
        f"Finished   {manifest.finished}",
        f"Server     MongoDB {manifest.server}, {manifest.topology}",
        f"Written by {manifest.tool}",
        f"Encrypted  {'yes, in the age format' if manifest.encrypted else 'no'}",
        f"Consistent {manifest.consistent}",
        *(f"Note       {note}" for note in manifest.notes),
        "",
        f"{'Collection':<{width}}  {'documents':>12}  {'bytes':>16}  digest",
    ]
    for entry in manifest.collections:
        if entry.type == "view":
            lines.append(f"{entry.name:<{width}}  {'view':>12}")
            continue
        written = "  written meanwhile" if entry.consistency is Consistency.WRITTEN else ""
        if entry.type == "timeseries":
            written += "  buckets of a time series, which hold its documents"
        lines.append(
            f"{entry.name:<{width}}  {entry.count:>12,}  {entry.bytes:>16,}  "
            f"{entry.digest}{written}"
        )
    lines.append(f"{'all':<{width}}  {manifest.count:>12,}  {manifest.bytes:>16,}")
    if manifest.exports:
        lines += [
            "",
            f"Canonical Extended JSON in {layout.EXPORTS}, one document a line, follows for:",
            *(f"  {name}" for name in manifest.exports),
        ]
    lines += [
        "",
        "The folder of the database is in mongodump's format (--gzip). To check or restore:",
        "  newbi-migrate verify-backup THIS_FOLDER",
        "  newbi-migrate restore THIS_FOLDER",
        f"  mongorestore --gzip --nsInclude '{manifest.database}.*' THIS_FOLDER"
        + ("   (after decrypting each file with age)" if manifest.encrypted else ""),
        "",
    ]
    # Whoever shows the file has a terminal, and names of collections may hold anything.
    return "\n".join(map(printable, lines))
