"""``newbi-migrate demo``: a migration before one's eyes, on a MongoDB of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.running import Session, say, wait_for_interruption
from newbi_migrate.errors import NewbiMigrateError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from newbi_migrate.migration.planning.results import Plan, RunResult
    from newbi_migrate.migration.rollback.results import RollbackResult
    from newbi_migrate.migration.status import Status
    from newbi_migrate.report.example import Example
    from newbi_migrate.testing.demo import DemoDatabase

__all__ = ["demo"]

_DATABASE = "newbi"


def demo(
    *,
    users: Annotated[int, typer.Option(metavar="N", min=1, help="Legacy users to make up.")] = 40,
    documents: Annotated[
        int, typer.Option(metavar="N", min=1, help="Documents to make up, about.")
    ] = 2000,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same number makes up the same database.")
    ] = 2025,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the server running until Ctrl-C, to look around."),
    ] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Build a legacy database on a throw-away MongoDB and migrate it before your eyes.

    It needs no database and touches none of yours: neither MONGODB_URI nor a file .env is looked
    at. It takes the extra embedded, or a mongod on the search path or named by NEWBI_MONGOD.
    """
    session = Session("demo", as_json=as_json)
    with session.explained():
        from newbi_migrate.testing import EmbeddedMongod

        say("Starting a MongoDB server of its own …")
        with EmbeddedMongod() as server:
            version = ".".join(map(str, server.version))
            say(f"MongoDB {version} listens on port {server.port}; its data are temporary.")
            told = _Demo(session, server.uri_for(_DATABASE), users, documents, seed).tell()
            if as_json:
                from newbi_migrate.report.json import json_parts

                print("".join(json_parts(told)), end="", flush=True)
            if keep:
                wait_for_interruption(server.uri_for(_DATABASE))


class _Demo:
    """The story: what there is, the plan, the run, one example, again, back, and forth."""

    def __init__(self, session: Session, uri: str, users: int, documents: int, seed: int) -> None:
        self._session = session
        self._uri = uri
        self._users = users
        self._documents = documents
        self._seed = seed

    def tell(self) -> Mapping[str, Any]:
        """Tell the story, and return what a program would want to know of it.

        Raises:
            NewbiMigrateError: Something went otherwise than it should.
        """
        from newbi_migrate.report.console import console_report
        from newbi_migrate.report.example import example_report
        from newbi_migrate.report.migration import plan_document, result_document, result_to_json
        from newbi_migrate.report.status import status_document, status_to_json
        from newbi_migrate.testing.demo import DemoDatabase

        with DemoDatabase(self._uri) as database:
            begun = time.perf_counter()
            self._build(database)
            before = database.counts()
            original = database.hashes()
            built = time.perf_counter()
            self._show(_what_there_is(before, built - begun))

            plan = self._session.run(self._plan)
            self._step("2. The plan. It writes nothing; a run does exactly this.")
            self._show(console_report(plan_document(plan, next_command="newbi-migrate migrate")))

            remembered = _remember(database, plan)
            result = self._session.run(self._migrate)
            self._step("3. The migration.")
            done = result_document(result, command="migrate", next_command="newbi-migrate validate")
            # The plan above lists what was quarantined.
            self._show(console_report(replace(done, sections=())))

            example = _example(database, plan, remembered)
            self._step("4. One user, before and after.")
            self._show(example_report(example))

            status = self._session.run(self._status)
            self._step("5. How the database stands now.")
            self._show(
                console_report(status_document(status, next_command="newbi-migrate validate"))
            )
            self._show(_who_lacks_what(result, status))

            migrated = database.hashes()
            again = self._session.run(self._migrate)
            self._step("6. The same command again.")
            unchanged = migrated == database.hashes()
            self._show(_nothing_written())

            back = self._session.run(self._roll_back)
            self._step("7. Back again, and forth once more.")
            returned = original == database.hashes()
            self._show(_taken_back(back))
            self._session.run(self._migrate)
            repeated = migrated == database.hashes()
            _check(
                before,
                result,
                again,
                example,
                {
                    "The second run changed nothing": unchanged,
                    "The rollback gave back every byte": returned and not back.exit_code,
                    "Migrated once more, every byte is the same": repeated,
                },
            )
            self._show(_the_end(result))
        return {
            "seed": self._seed,
            "before": before,
            "run": result_to_json(result),
            "status": status_to_json(status),
            "again": result_to_json(again),
            "back": back.to_json(),
            "seconds": round(time.perf_counter() - begun, 3),
        }

    def _build(self, database: DemoDatabase) -> None:
        say("Making up a legacy database …")
        database.build(users=self._users, documents=self._documents, seed=self._seed)

    async def _plan(self) -> Plan:
        from newbi_migrate.migration.facade import Migration

        async with Migration(self._uri) as migration:
            return await migration.plan()

    async def _migrate(self) -> RunResult:
        from newbi_migrate.cli.progress import showing_progress
        from newbi_migrate.migration.facade import Migration

        with showing_progress(quiet=True) as progress:
            async with Migration(self._uri, progress=progress) as migration:
                return await migration.apply()

    async def _roll_back(self) -> RollbackResult:
        from newbi_migrate.cli.progress import showing_progress
        from newbi_migrate.migration.facade import Migration

        with showing_progress(quiet=True) as progress:
            async with Migration(self._uri, progress=progress) as migration:
                return await migration.rollback()

    async def _status(self) -> Status:
        from newbi_migrate.migration.facade import Migration

        async with Migration(self._uri) as migration:
            return await migration.status()

    def _step(self, words: str) -> None:
        from rich.rule import Rule
        from rich.text import Text

        self._show(("", Rule(Text(words, style="bold"), align="left")))

    def _show(self, parts: Iterator[RenderableType] | tuple[RenderableType, ...]) -> None:
        self._session.narrate(parts)


def _what_there_is(counts: Mapping[str, int], seconds: float) -> Iterator[RenderableType]:
    from rich.columns import Columns
    from rich.rule import Rule
    from rich.text import Text

    yield Rule(Text("1. A legacy database, made up.", style="bold"), align="left")
    yield Text(
        f"{sum(counts.values()):,} documents in {len(counts)} collections, made in "
        f"{seconds:.1f} s: as Newbi's application wrote them before it had workspaces, and with "
        "the dirt that years of production leave behind."
    )
    yield Columns([Text(f"{name} {count:,}") for name, count in counts.items() if count], width=25)


def _remember(database: DemoDatabase, plan: Plan) -> dict[Any, dict[str, Any]]:
    """Invoices of users who are created, before they are stamped."""
    from newbi_migrate.mapping.decisions import Outcome

    created = [line.legacy_id for line in plan.users if line.outcome is Outcome.CREATED]
    found = database.find("invoices", {"createdBy": {"$in": created}}, limit=500)
    return {document["_id"]: document for document in found}


def _example(
    database: DemoDatabase, plan: Plan, remembered: Mapping[Any, dict[str, Any]]
) -> Example:
    """The user with the fullest profile, who shows most, and an invoice of theirs."""
    from bson import ObjectId

    from newbi_migrate.report.example import journeys

    first_of: dict[ObjectId, dict[str, Any]] = {}
    for before in remembered.values():
        if isinstance(before["createdBy"], ObjectId):
            first_of.setdefault(before["createdBy"], before)
    found = [
        example
        for owner, before in first_of.items()
        if (example := _example_of(database, plan.source, owner, before)) is not None
    ]
    if not found:
        raise NewbiMigrateError(
            "The demo's database has no user whose invoice was stamped.",
            next_step="Ask for more --users or --documents.",
        )
    return max(found, key=lambda example: len(journeys(example)))


def _example_of(
    database: DemoDatabase, source: str, owner: Any, before: dict[str, Any]
) -> Example | None:
    from newbi_migrate.report.example import Example

    def one(name: str, query: Mapping[str, Any]) -> dict[str, Any]:
        return next(database.find(name, query), {})

    member = one("member", {"userId": owner})
    after = one("invoices", {"_id": before["_id"]})
    legacy = one(source, {"_id": owner})
    if not member or not legacy or "workspaceId" not in after:
        return None
    return Example(
        source=source,
        legacy=legacy,
        after={
            "user": one("user", {"_id": owner}),
            "account": one("account", {"userId": owner}),
            "organization": one("organization", {"_id": member["organizationId"]}),
            "member": member,
        },
        collection="invoices",
        document_before=before,
        document_after=after,
    )


def _check(
    before: Mapping[str, int],
    result: RunResult,
    again: RunResult,
    example: Example,
    more: Mapping[str, bool],
) -> None:
    """The promises, checked on the very database that was migrated.

    Raises:
        NewbiMigrateError: One does not hold.
    """
    plan = result.plan
    summaries = result.collections.values()
    kept = {
        "Each legacy user has one outcome": len(plan.users) == before[plan.source],
        "Each document was stamped, right already, or quarantined": all(
            summary.documents == before[summary.name] for summary in summaries
        ),
        "A stamped document is otherwise the same to the byte": example.only_stamped,
        "The second run had nothing to do": again.run_id is None,
        **more,
    }
    broken = [promise for promise, holds in kept.items() if not holds]
    if broken:
        raise NewbiMigrateError(
            f"The demo did not go as it should: {'; '.join(broken)} does not hold.",
            next_step="This is a defect; please report it.",
        )


def _who_lacks_what(result: RunResult, status: Status) -> Iterator[RenderableType]:
    from rich.text import Text

    quarantined = sum(summary.quarantined for summary in result.collections.values())
    lacking = sum(status.without_workspace.values())
    yield ""
    yield Text(
        f"Without a workspace are only documents that were quarantined: {lacking:,} of "
        f"{quarantined:,}. The others hold one already, which only a person can judge."
    )


def _nothing_written() -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(
        "It wrote nothing: the server's own digest of every collection is the same as before."
    )


def _taken_back(back: RollbackResult) -> Iterator[RenderableType]:
    from rich.text import Text

    restored = sum(collection.restored for collection in back.documents.values())
    yield Text(
        f"newbi-migrate rollback: {restored:,} documents restored, {back.deleted.total():,} that "
        f"the run had created deleted, {len(back.indexes_dropped):,} indexes dropped. The digest "
        "of every collection is what it was before the migration, to the last byte."
    )
    yield ""
    yield Text(
        "newbi-migrate migrate, once more: every digest is that of the first migration, for ids "
        "are derived and not drawn."
    )


def _the_end(result: RunResult) -> Iterator[RenderableType]:
    from rich.text import Text

    yield ""
    yield Text(
        f"{len(result.quarantine):,} made-up users and documents were quarantined on purpose: the "
        "tool never guesses. On your database such a run ends with exit code 5, and the list "
        "above says what to do about each."
    )
    yield ""
    yield Text("Next, on a copy of your own database:", style="bold")
    yield Text("  newbi-migrate plan --uri-file FILE", style="bold")
