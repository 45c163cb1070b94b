"""Calls of the public API that only the type checker runs; nothing here is executed."""

from __future__ import annotations

from newbi_migrate import (
    CollectionSpec,
    ConnectionString,
    ExitCode,
    IdType,
    IndexSpec,
    Migration,
    MigrationOptions,
    NewbiMigrateError,
    Registry,
    open_database,
)


def a_host_describes_its_own_collections() -> Registry:
    return Registry(
        [
            CollectionSpec(
                name="orders",
                owner_field="ownerId",
                workspace_type=IdType.OBJECT_ID,
                indexes=(IndexSpec((("tenantId", 1), ("createdAt", -1))),),
            )
        ],
        workspace_field="tenantId",
    )


async def a_script_opens_a_database() -> str:
    try:
        async with open_database(ConnectionString("mongodb://localhost/newbi")) as store:
            name: str = store.database.name
            version: tuple[int, ...] = store.server.version
            return f"{name} {version}"
    except NewbiMigrateError as error:
        code: ExitCode = error.exit_code
        return f"{error.what} {error.next_step} {code}"


async def a_backend_migrates() -> int:
    async with Migration(
        "mongodb://localhost/newbi", options=MigrationOptions(workers=1)
    ) as migration:
        plan = await migration.plan()
        result = await migration.apply(plan)
        stamped: int = sum(summary.stamped for summary in result.collections.values())
        return stamped
