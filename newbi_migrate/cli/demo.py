"""``newbi-migrate demo``: a migration before one's eyes, on a MongoDB of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.running import Session, say, wait_for_interruption
from newbi_migrate.cli.status import standing
from newbi_migrate.cli.streams import answering
from newbi_migrate.errors import NewbiMigrateError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from newbi_migrate.demo.database import DemoDatabase
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.migration.planning.results import Plan, RunResult
    from newbi_migrate.report.example import Example

__all__ = ["demo"]

_T = TypeVar("_T")

_DATABASE = "newbi"


def demo(
    *,
    users: Annotated[int, typer.Option(metavar="N", min=1, help="Legacy users to make up.")] = 40,
    documents: Annotated[
        int, typer.Option(metavar="N", min=1, help="Documents to make up, approximately.")
    ] = 2000,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same number makes up the same database.")
    ] = 2025,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the server running until Ctrl-C, to look around."),
    ] = False,
    call: opt.Answering,
) -> None:
    """Build a legacy database on a throw-away MongoDB and migrate it before your eyes.

    It needs no database and touches none of yours: it ignores MONGODB_URI and .env. It needs the
    extra embedded, or a mongod on the search path or named by NEWBI_MONGOD.
    """
    with call.session("demo") as session:
        from newbi_migrate.testing import EmbeddedMongod

        say("Starting a MongoDB server of its own …")
        with EmbeddedMongod() as server:
            version = ".".join(map(str, server.version))
            say(f"MongoDB {version} listens on port {server.port}; its data are temporary.")
            told = _Demo(session, server.uri_for(_DATABASE), users, documents, seed).tell()
            if call.as_json:
                from newbi_migrate.report.json import json_parts

                with answering():
                    sys.stdout.writelines(json_parts(told))
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
        from newbi_migrate.answers import answer
        from newbi_migrate.demo.database import DemoDatabase
        from newbi_migrate.report.console import console_report
        from newbi_migrate.report.example import example_document
        from newbi_migrate.report.migration import plan_document, result_document
        from newbi_migrate.report.status import status_document

        show = self._session.narrate
        with DemoDatabase(self._uri) as database:
            begun = time.perf_counter()
            say("Making up a legacy database …")
            database.build(users=self._users, documents=self._documents, seed=self._seed)
            before = database.counts()
            original = database.hashes()
            self._step("1. A legacy database, made up.")
            self._explain(
                f"{sum(before.values()):,} documents in {len(before)} collections, made in "
                f"{time.perf_counter() - begun:.1f} s: as Newbi's application wrote them before it "
                "had workspaces, and with the dirt that years of production leave behind."
            )
            show(_columns(before))

            plan = self._ask(lambda migration: migration.plan())
            self._step("2. The plan. It writes nothing; a run does exactly this.")
            show(console_report(plan_document(plan, next_command="newbi-migrate migrate")))

            remembered = _remember(database, plan)
            result = self._ask(lambda migration: migration.apply())
            self._step("3. The migration.")
            done = result_document(result, command="migrate", next_command="newbi-migrate validate")
            # The plan above lists what was quarantined.
            show(console_report(replace(done, sections=())))

            example = _example(database, plan, remembered)
            self._step("4. One user, before and after.")
            show(console_report(example_document(example, database=plan.database)))

            found = self._ask(standing)
            self._step("5. How the database stands now.")
            stands = status_document(found, next_command="newbi-migrate validate")
            show(console_report(stands))
            lacking = sum(found.status.without_workspace.values())
            quarantined = sum(summary.quarantined for summary in result.collections.values())
            self._explain(
                "",
                f"Without a workspace are only documents that were quarantined: {lacking:,} of "
                f"{quarantined:,}. The others hold one already, which only a person can judge.",
            )

            migrated = database.hashes()
            again = self._ask(lambda migration: migration.apply())
            unchanged = migrated == database.hashes()
            self._step("6. The same command again.")
            self._explain(
                "It wrote nothing: the server's own digest of every collection is the same as "
                "before."
            )

            back = self._ask(lambda migration: migration.rollback())
            returned = original == database.hashes()
            self._step("7. Back again, and forth once more.")
            restored = sum(collection.restored for collection in back.documents.values())
            self._explain(
                f"newbi-migrate rollback: {restored:,} documents restored, "
                f"{back.deleted.total():,} that the run had created deleted, "
                f"{len(back.indexes_dropped):,} indexes dropped. The digest of every collection is "
                "what it was before the migration, to the last byte.",
                "",
                "newbi-migrate migrate, once more: every digest is that of the first migration, "
                "for ids are derived and not drawn.",
            )
            self._ask(lambda migration: migration.apply())
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
            self._explain(
                "",
                f"{len(result.quarantine):,} made-up users and documents were quarantined on "
                "purpose: the tool never guesses. On your database such a run ends with exit code "
                "5, and the list above says what to do about each.",
                "",
            )
            self._explain(
                "Next, on a copy of your own database:",
                "  newbi-migrate plan --uri-file FILE",
                style="bold",
            )
        return {
            "seed": self._seed,
            "before": before,
            "run": answer(result),
            "status": stands.value(),
            "again": answer(again),
            "back": answer(back),
            "seconds": round(time.perf_counter() - begun, 3),
        }

    def _ask(self, what: Callable[[Migration], Awaitable[_T]]) -> _T:
        return self._session.ask(what, of=self._uri, quiet=True)

    def _step(self, words: str) -> None:
        from rich.rule import Rule
        from rich.text import Text

        self._session.narrate(("", Rule(Text(words, style="bold"), align="left")))

    def _explain(self, *paragraphs: str, style: str = "") -> None:
        from rich.text import Text

        self._session.narrate(Text(words, style=style) for words in paragraphs)


def _columns(counts: Mapping[str, int]) -> Iterator[RenderableType]:
    from rich.columns import Columns
    from rich.text import Text

    yield Columns([Text(f"{name} {count:,}") for name, count in counts.items() if count], width=25)


def _remember(database: DemoDatabase, plan: Plan) -> dict[Any, dict[str, Any]]:
    """An invoice of each user who is created, before it is stamped, by the user's id."""
    from newbi_migrate.mapping.decisions import Outcome

    created = [line.legacy_id for line in plan.users if line.outcome is Outcome.CREATED]
    found = database.find("invoices", {"createdBy": {"$in": created}}, limit=500)
    return {document["createdBy"]: document for document in found}


def _example(
    database: DemoDatabase, plan: Plan, remembered: Mapping[Any, dict[str, Any]]
) -> Example:
    """The user with the fullest profile, who shows most, and an invoice of theirs."""
    from newbi_migrate.report.example import Example, journeys

    def one(name: str, query: Mapping[str, Any]) -> dict[str, Any]:
        return next(database.find(name, query))

    found = []
    for owner, before in remembered.items():
        member = one("member", {"userId": owner})
        after = {
            "user": one("user", {"_id": owner}),
            "account": one("account", {"userId": owner}),
            "organization": one("organization", {"_id": member["organizationId"]}),
            "member": member,
        }
        document = one("invoices", {"_id": before["_id"]})
        legacy = one(plan.source, {"_id": owner})
        found.append(Example(plan.source, legacy, after, "invoices", before, document))
    if not found:
        raise NewbiMigrateError(
            "The demo's database has no user whose invoice was stamped.",
            next_step="Ask for more --users or --documents.",
        )
    return max(found, key=lambda example: len(journeys(example)))


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
