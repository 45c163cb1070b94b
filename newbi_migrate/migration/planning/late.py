"""Legacy users and documents that wait for another run.

They came after the migration, or a part of it that they belong to was taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from newbi_migrate.documents.registry import CollectionSpec, Registry
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.survey import source_now
from newbi_migrate.migration.run.accounted import last_migration, unaccounted_users
from newbi_migrate.store.collections import CollectionInfo, views_on
from newbi_migrate.store.counting import blank, count
from newbi_migrate.store.handles import Database
from newbi_migrate.store.runs import RunRecord, quarantined_documents, unfinished_run

__all__ = ["counted_collections", "late_documents", "late_users"]


async def late_users(
    database: Database, runs: Sequence[RunRecord], names: Collection[str], *, comment: str
) -> int:
    """How many legacy users no migration accounts for; 0 where none stands, or a run is unfinished.

    Args:
        database: Where.
        runs: All runs, the newest first.
        names: Names of all collections.
        comment: Attached to every command.
    """
    last = last_migration(runs)
    source = None if last is None else last.policy.get("legacyCollection")
    if unfinished_run(runs) is not None or not isinstance(source, str):
        return 0
    there = await source_now(database, source, names, comment=comment)
    if there is None:
        return 0
    found = await unaccounted_users(database, there, runs, quarantined=True, comment=comment)
    return found.number


def counted_collections(
    registry: Registry, infos: Mapping[str, CollectionInfo], runs: Sequence[RunRecord]
) -> list[CollectionSpec]:
    """The scoped collections that are there, without the views that show others of them.

    Args:
        registry: The collections.
        infos: Everything in the database.
        runs: All runs, the newest first; the last migration knows which day's schema it is.
    """
    last = last_migration(runs)
    if last is not None and (day := MigrationOptions.from_policy(last.policy).schema_day):
        registry = registry.as_of(day)
    shown = views_on(infos, {spec.name for spec in registry.scoped})
    return [spec for spec in registry.scoped if spec.name in infos and spec.name not in shown]


async def late_documents(
    database: Database,
    registry: Registry,
    runs: Sequence[RunRecord],
    infos: Mapping[str, CollectionInfo],
    *,
    comment: str,
) -> int:
    """How many documents have no workspace, beside those that the last run quarantined.

    Args:
        database: Where.
        registry: Its collections.
        runs: All runs, the newest first.
        infos: Everything in it.
        comment: Attached to every command.
    """
    late = 0
    for spec in counted_collections(registry, infos, runs):
        lacking = await count(database[spec.name], blank(registry.workspace_field), comment=comment)
        known = quarantined_documents(runs, spec.name, without_workspace=True)
        late += max(lacking - known, 0)
    return late
