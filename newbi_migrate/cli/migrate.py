"""``newbi-migrate plan``, ``migrate`` and ``backfill``: one plan, shown or carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from newbi_migrate.cli import options as opt, values
from newbi_migrate.cli.next_steps import (
    after_other_decisions,
    after_plan,
    after_run,
    suggest,
)
from newbi_migrate.cli.reporting import ReportFiles
from newbi_migrate.cli.running import Session, say
from newbi_migrate.errors import DatabaseMovedOnError, UsageError
from newbi_migrate.report.text import counted

if TYPE_CHECKING:
    from newbi_migrate.migration.facade import Migration
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.plan_file import SavedPlan
    from newbi_migrate.migration.planning.results import Plan, RunResult
    from newbi_migrate.migration.run.backup_guard import BackupGuard
    from newbi_migrate.migration.run.throttle import ThrottleOptions
    from newbi_migrate.report.document import Document
    from newbi_migrate.store.runs import RunRecord

__all__ = ["backfill", "migrate", "plan"]


def plan(
    *,
    output: opt.Output = None,
    rehearsed: opt.Rehearsed = None,
    verbose: opt.Verbose = False,
    call: opt.LoggedCall,
    choices: opt.Choices,
    backing: opt.Backing,
    report: opt.Reports = None,
    show_personal_data: opt.ShowPersonalData = False,
) -> None:
    """Show everything that a migration would do; writes nothing.

    What becomes of each user and why, what is stamped in each collection, which indexes are
    created, and what is quarantined and why. The exit code is that of the migration. A backup that
    is named is verified and must equal the database, as for the migration.
    """
    with call.session("plan") as session:
        taken = [output, rehearsed, call.log_file, call.uri_file]
        reports = ReportFiles(report, personal=show_personal_data, taken=taken)
        options = values.migration_options(**asdict(choices))
        backed = values.backup_guard(backing.backup, backing.identity)
        session.log_to(call.log_file, "plan")
        task = _Task(
            session,
            "plan",
            options,
            verbose,
            backed,
            reports,
            backing=backing,
            rehearsed=values.rehearsal(rehearsed),
        )
        task.show(save_to=output)


def migrate(
    *,
    plan: opt.PlanFile = None,
    rehearsed: opt.Rehearsed = None,
    run: opt.Run,
    show_personal_data: opt.ShowPersonalData = False,
) -> None:
    """Migrate users and stamp their documents. Run it again to finish what was interrupted.

    A backup or a plan that is named must fit the database as it is now; else nothing is written.
    A plan brings its own choices. Where nothing is left to do, nothing is written.
    """
    _run("migrate", run, plan, rehearsed, personal=show_personal_data)


def backfill(*, run: opt.Run) -> None:
    """Stamp documents only: late ones, or those of further collections. Users stay as they are.

    What was quarantined before is tried again. Where nothing is left to do, nothing is written.
    """
    _run("backfill", run)


def _run(
    command: str,
    run: opt.Run,
    plan: Path | None = None,
    rehearsed: Path | None = None,
    *,
    personal: bool = False,
) -> None:
    with run.call.session(command) as session:
        if not run.dry_run:
            session.must_be_able_to_ask(confirmed=run.confirm)
        taken = [plan, rehearsed, run.call.log_file, run.throttling.pause_file, run.call.uri_file]
        reports = ReportFiles(run.report, personal=personal, taken=taken)
        backing = run.backing
        backed = values.backup_guard(backing.backup, backing.identity, digests=run.record_digests)
        throttle = values.throttle(run.throttling)
        session.log_to(run.call.log_file, f"{command} --dry-run" if run.dry_run else command)
        saved: SavedPlan | None = None
        if plan is None:
            options = values.migration_options(**asdict(run.choices), **asdict(run.size))
        elif rehearsed is not None:
            raise UsageError(
                "The options --plan and --rehearsed cannot be given together.",
                next_step="Compare when the plan is made: plan --rehearsed FILE --output FILE.",
            )
        else:
            saved, options = _of_saved(plan, run.choices, run.size)
        task = _Task(
            session,
            command,
            options,
            run.verbose,
            backed,
            reports,
            throttle,
            saved,
            plan,
            backing,
            values.rehearsal(rehearsed),
        )
        if run.dry_run:
            task.show()
        task.carry_out(confirmed=run.confirm)


def _of_saved(
    path: Path, choices: opt.Choices, size: opt.Size
) -> tuple[SavedPlan, MigrationOptions]:
    """A saved plan and its choices; others given beside it would only contradict it."""
    from newbi_migrate.migration.planning.options import MigrationOptions
    from newbi_migrate.migration.planning.plan_file import load_plan

    given = [f"--{name.replace('_', '-')}" for name, value in asdict(choices).items() if value]
    if given:
        raise UsageError(
            f"A plan brings its own choices, so {', '.join(given)} cannot be given beside --plan.",
            next_step="Leave them out, or make a new plan with them.",
        )
    saved = load_plan(path)
    usual = values.migration_options(**asdict(size))
    options = MigrationOptions.from_policy(
        saved.policy, batch_size=usual.batch_size, workers=usual.workers
    )
    return saved, options


@dataclass(frozen=True, slots=True)
class _Task:
    """What one call of a command is to plan, show or carry out.

    Attributes:
        session: The call.
        command: Its name.
        options: The choices.
        verbose: Whether everything is listed.
        backed: What the run is backed by.
        reports: The report files that were asked for.
        throttle: What is to hold a run back.
        saved: A plan that must be followed.
        saved_in: Where that plan is.
        backing: The arguments that say what the run is backed by.
        rehearsed: Where the decisions of a rehearsal are, with which the plan is compared.
    """

    session: Session
    command: str
    options: MigrationOptions
    verbose: bool
    backed: BackupGuard
    reports: ReportFiles
    throttle: ThrottleOptions | None = None
    saved: SavedPlan | None = None
    saved_in: Path | None = None
    backing: opt.Backing | None = None
    rehearsed: Path | None = None

    @property
    def documents_only(self) -> bool:
        """Whether users stay as they are."""
        return self.command == "backfill"

    def show(self, *, save_to: Path | None = None) -> NoReturn:
        """Make a plan, show it, and end with the exit code its run would have.

        Args:
            save_to: File the plan is saved in.

        Raises:
            DatabaseMovedOnError: The saved plan is another one, or the backup is not of now.
        """
        from newbi_migrate.migration.checklist import LineId, LineState
        from newbi_migrate.migration.planning.plan_file import (
            plan_lines,
            refuse_other_database,
            refuse_other_file,
        )
        from newbi_migrate.migration.planning.rehearsed import since_rehearsal
        from newbi_migrate.report.files import refuse_unwritable, write_privately
        from newbi_migrate.report.rehearsal import with_rehearsal

        if save_to is not None:
            refuse_unwritable(save_to)
            refuse_other_file(save_to)
        if self.saved is not None:
            refuse_other_database(self.saved, self.session.target.database)
        plan, runs = self._plan(backed=True)
        if self.saved is not None and _interrupted(runs):
            say("note: an interrupted run is finished; this is what is left of it.")
        since = None if self.rehearsed is None else since_rehearsal(self.rehearsed, plan)
        if save_to is not None:
            replaced = save_to.exists()
            write_privately(save_to, plan_lines(plan))
            say(f"The plan was written to {save_to}{', in place of another' if replaced else ''}.")
        self._warn_without_backup(runs, pending=plan.pending)

        def document(emails: Mapping[str, str] | None) -> Document:
            made = self._document(plan, runs, save_to or self.saved_in, emails=emails)
            if since is None:
                return made
            if not since.as_rehearsed and not _interrupted(runs):
                again = after_other_decisions(
                    plan.options,
                    output=cast(Path, self.rehearsed),
                    # One that was named is of now; else the plan would have refused it.
                    backup=self._backed_by()[1:],
                    place=self.session.uri_arguments,
                )
                made = replace(made, next_command=again)
            return with_rehearsal(made, since)

        relied_on = self.backed.backup is not None and plan.pending
        seen = {LineId.BACKUP: LineState.DONE} if relied_on else {}
        if since is not None:
            as_rehearsed = LineState.DONE if since.as_rehearsed else LineState.FAILED
            seen[LineId.REHEARSED] = as_rehearsed
        self.reports.finish(
            self.session,
            document,
            users_in=plan.source if plan.users else None,
            verbose=self.verbose,
            seen=seen,
        )

    def carry_out(self, *, confirmed: bool) -> NoReturn:
        """Run, report, and end with the run's exit code.

        Without a confirmation the plan is shown on stderr and the database's name must be typed;
        what is carried out then is the plan that was shown.

        Raises:
            ConfirmationRequiredError: Nobody agreed.
            NewbiMigrateError: The run failed.
        """
        from newbi_migrate.migration.planning.plan_file import refuse_other_database
        from newbi_migrate.report.migration import result_document

        if self.saved is not None:
            refuse_other_database(self.saved, self.session.target.database)
        looked = self._as_rehearsed()
        shown = None if looked is None else looked[0]
        if not confirmed:
            if self.saved is not None:
                does = (
                    f"follows the plan in {self.saved_in}: it writes to "
                    f"{counted(self.saved.writes, 'document')} and migrates "
                    f"{counted(self.saved.users, 'user')}"
                )
                runs = self.session.ask(lambda migration: migration.runs(), quiet=True)
            else:
                if looked is None:
                    looked = self._plan()
                shown, runs = looked
                does = ""
                if shown.pending or _interrupted(runs):
                    seen = self._document(shown, runs)
                    self.session.show(seen, verbose=self.verbose, aside=True)
                    does = _writes(shown)
            self._warn_without_backup(runs, pending=shown is None or shown.pending)
            # Not inside the event loop: it would keep Ctrl-C from ending the wait for an answer.
            if does:
                self.session.confirm(does)
        result, runs = self._run(shown, confirmed=confirmed)
        self.session.log_end(_in_one_line(self.command, result))
        following = after_run(self.command, result, runs, self.session.uri_arguments)
        self.reports.finish(
            self.session,
            lambda emails: result_document(
                result, command=self.command, next_command=following, emails=emails
            ),
            users_in=result.plan.source if result.plan.users else None,
            verbose=self.verbose,
        )

    def _document(
        self,
        plan: Plan,
        runs: Sequence[RunRecord],
        saved_in: Path | None = None,
        *,
        emails: Mapping[str, str] | None = None,
    ) -> Document:
        from newbi_migrate.report.migration import plan_document

        following = after_plan(
            plan,
            documents_only=self.documents_only,
            place=self.session.uri_arguments,
            saved_in=saved_in,
            backed=self._backed_by(),
            kept=self._kept(saved=saved_in is not None),
            runs=runs,
        )
        return plan_document(plan, command=self.command, next_command=following, emails=emails)

    def _kept(self, *, saved: bool) -> list[str]:
        kept = ["--record-digests"] if self.backed.digests else []
        # A saved plan was compared with the rehearsal when it was made.
        named = None if saved else self.rehearsed
        return kept if named is None else [*kept, "--rehearsed", str(named)]

    def _backed_by(self) -> list[str]:
        given = self.backing
        if given is None or given.backup is None:
            return []
        return ["--backup", str(given.backup), *values.opening(given.identity)]

    def _plan(self, *, backed: bool = False) -> tuple[Plan, list[RunRecord]]:
        """The plan, and all runs.

        Args:
            backed: Whether the backup is verified and compared, where there is work it would back.
        """

        async def planning(migration: Migration) -> tuple[Plan, list[RunRecord]]:
            runs = await migration.runs()
            if self.saved is not None:
                plan = await migration.plan_saved(self.saved)
            else:
                plan = await migration.plan(documents_only=self.documents_only)
            if plan.pending or _interrupted(runs):
                await migration.check_backup()
            return plan, runs

        guard = self.backed if backed else None
        return self.session.ask(planning, options=self.options, backup_guard=guard)

    def _as_rehearsed(self) -> tuple[Plan, list[RunRecord]] | None:
        """A plan that decides about everybody as the rehearsal did, and all runs.

        ``None`` if no rehearsal was named.

        Raises:
            DatabaseMovedOnError: It decides otherwise about somebody.
        """
        if self.rehearsed is None:
            return None
        from newbi_migrate.migration.planning.rehearsed import since_rehearsal
        from newbi_migrate.report.rehearsal import since_sentences

        plan, runs = self._plan()
        if _interrupted(runs):
            say("note: an interrupted run is finished; it was compared when it began.")
            return None
        since = since_rehearsal(self.rehearsed, plan)
        said = list(since_sentences(since))
        if not since.as_rehearsed:
            raise DatabaseMovedOnError(
                " ".join(said),
                next_step="Nothing was written. Look at them with plan --rehearsed; then rehearse "
                "with a new backup, or leave --rehearsed out.",
            )
        for sentence in said:
            say(f"note: {sentence}")
        return plan, runs

    def _run(self, plan: Plan | None, *, confirmed: bool) -> tuple[RunResult, list[RunRecord]]:
        """What was done, and all runs as they are afterwards."""

        async def running(migration: Migration) -> tuple[RunResult, list[RunRecord]]:
            if confirmed:
                # Whoever is asked has been warned; whether something is pending is not known here.
                before = await migration.runs()
                first = not any(run.in_place for run in before)
                self._warn_without_backup(before, pending=first)
            if self.saved is not None:
                result = await migration.apply_saved(self.saved)
            elif self.documents_only:
                result = await migration.backfill(plan)
            else:
                result = await migration.apply(plan)
            return result, await migration.runs()

        return self.session.ask(
            running,
            writes=True,
            options=self.options,
            backup_guard=self.backed,
            throttle=self.throttle,
        )

    def _warn_without_backup(self, runs: Sequence[RunRecord], *, pending: bool) -> None:
        """Say that a run would have nothing to go back to but its journal.

        Where one was interrupted, it is too late to make a backup.
        """
        if pending and self.backed.backup is None and not _interrupted(runs):
            make_one = suggest("backup", *self.session.uri_arguments)
            command = "backfill" if self.documents_only else "migrate"
            say(
                f"warning: no backup is named. Make one ({make_one}), and {command} with "
                "--backup DIR."
            )


def _interrupted(runs: Sequence[RunRecord]) -> bool:
    """Whether a run was begun and has not come to its end."""
    from newbi_migrate.store.runs import unfinished_run

    return unfinished_run(runs) is not None


def _writes(plan: Plan) -> str:
    """What a run of a plan would write, in numbers."""
    from newbi_migrate.migration.planning.results import IndexAction

    documents = sum(summary.pending for summary in plan.collections.values())
    indexes = sum(decision.action is IndexAction.CREATE for decision in plan.indexes)
    users = sum(line.writes for line in plan.users)
    return (
        f"writes to {counted(documents, 'document')}, creates or completes those of "
        f"{counted(users, 'user')}, and builds {counted(indexes, 'index', 'indexes')}"
    )


def _in_one_line(command: str, result: RunResult) -> str:
    """How a run ended, for the log."""
    if result.run_id is None:
        return f"Nothing was left to do for {command}. Exit code {int(result.exit_code)}."
    stamped = sum(summary.stamped for summary in result.collections.values())
    created = sum(result.created.values())
    return (
        f"The run {result.run_id} of {command} is done: {counted(created, 'document')} created for "
        f"users, {stamped:,} stamped, {len(result.quarantine):,} quarantined. "
        f"Exit code {int(result.exit_code)}."
    )
