"""Calls of the public API that only the type checker runs; nothing here is executed."""

from __future__ import annotations

from pathlib import Path

from newbi_migrate import (
    BackupGuard,
    CollectionSpec,
    ConnectionString,
    ExitCode,
    FailOn,
    IdType,
    IndexSpec,
    Migration,
    MigrationOptions,
    NewbiMigrateError,
    Registry,
    Rehearsal,
    SinceRehearsal,
    ThrottleOptions,
    ValidationReport,
    Verdict,
    backup_database,
    compare_backup,
    open_database,
    restore_backup,
    since_rehearsal,
    verify_backup,
)
from newbi_migrate.smoke import smoke


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


async def a_script_backs_up_first() -> bool:
    uri = "mongodb://localhost/newbi"
    backup = await backup_database(uri, Path("backups"), workers=1)
    verification = await verify_backup(backup.path)
    verification.require()
    async with Migration(uri, backup_guard=BackupGuard(backup.path)) as migration:
        await migration.apply()
        conserved: bool = (await migration.check_conservation()).holds
    restored = await restore_backup(backup.path, "mongodb://localhost/copy")
    documents: int = sum(restored.counts.values())
    comparison = await compare_backup(backup.path, uri, without=["workspaceId"])
    return conserved and comparison.equal


async def a_backend_migrates() -> int:
    async with Migration(
        "mongodb://localhost/newbi", options=MigrationOptions(workers=1)
    ) as migration:
        plan = await migration.plan()
        result = await migration.apply(plan)
        stamped: int = sum(summary.stamped for summary in result.collections.values())
        return stamped


async def a_pipeline_looks_before_it_runs_and_holds_back() -> bool:
    throttle = ThrottleOptions(max_rate=1000, pause_file=Path("pause"), max_lag=10.0)
    async with Migration("mongodb://localhost/newbi", throttle=throttle) as migration:
        ready: ExitCode = (await migration.doctor(backup=Path("backup"))).exit_code
    return ready is ExitCode.DONE


async def a_pipeline_rehearses_the_night() -> bool:
    async with Migration("mongodb://localhost/scratch") as migration:
        rehearsal: Rehearsal = await migration.rehearse(Path("backup"), keep=True)
    async with Migration("mongodb://localhost/newbi") as migration:
        since: SinceRehearsal = since_rehearsal(Path("rehearsed.json"), await migration.plan())
        ready: ExitCode = (await migration.checklist(backup=Path("backup"))).exit_code
    return rehearsal.verdict is Verdict.GO and since.as_rehearsed and ready is ExitCode.DONE


def a_pipeline_signs_in_afterwards() -> list[str]:
    result = smoke("https://app.exemple.fr", "a@exemple.fr", "a-password", timeout=5)
    return [f"{check.level} {check.sentence} {check.remedy}" for check in result.checks]


async def a_pipeline_refuses_what_does_not_validate() -> list[str]:
    async with Migration("mongodb://localhost/newbi") as migration:
        report: ValidationReport = await migration.validate(
            only=["document.*"], fail_on=FailOn.WARNING
        )
    code: ExitCode = report.exit_code
    counts: dict[str, int] = {result.rule: result.count for result in report.results}
    return [f"{f.collection} {f.id} {f.path}" for f in report.violations if not report.is_clean]
