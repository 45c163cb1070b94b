"""Results as text for people, on 80 columns.

Each function gives parts to print one after the other, so that a list of a million lines is never
one text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, groupby
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table

from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.users import BARRED, CANNOT_SIGN_IN, FOLLOWS_MEMBERSHIP, Finding
from newbi_migrate.migration.planning.results import (
    CollectionSummary,
    IndexAction,
    IndexDecision,
    Plan,
    Quarantine,
    RunResult,
    UserLine,
)
from newbi_migrate.migration.status import Status
from newbi_migrate.report.forms import (
    and_more,
    following,
    heading,
    indented,
    line_of_counts,
    plain,
    printable,
    table_of,
    title,
)
from newbi_migrate.report.words import (
    CLASSES,
    INDEX_ACTIONS,
    OUTCOMES,
    REASONS,
    counted,
    finding_in_words,
)
from newbi_migrate.store.collisions import Collision
from newbi_migrate.store.runs import RunRecord, RunState

__all__ = ["plan_report", "printable", "result_report", "status_report"]

_FIRST: Final = 3
_RUNS: Final = 10
_FOLLOWING: Final = 10
# Names of fields or collections a finding lists.
_NAMES: Final = 10
_SIGNING_IN: Final = {
    "Users who cannot sign in": CANNOT_SIGN_IN,
    "Users who were kept out, and whom Better Auth lets in": tuple(BARRED.values()),
}
_NAMED: Final = frozenset(chain.from_iterable(_SIGNING_IN.values()))
_BLOCKED: Final = (IndexAction.CONFLICT, IndexAction.COLLISION)


def plan_report(
    plan: Plan, *, next_command: str, verbose: bool = False
) -> Iterator[RenderableType]:
    """What a run would do.

    Args:
        plan: The plan.
        next_command: What to run next; the report ends with it.
        verbose: Every user decision and every quarantined document, not the first few.
    """
    yield title(
        f"Plan for the database {plan.database}: legacy users from {plan.source}. "
        "Nothing was written."
    )
    if plan.users:
        yield from _users(plan)
        yield from line_of_counts("to create", _created_by(plan.users))
        yield from line_of_counts("to fill in what is missing", _filled_by(plan.users))
        if verbose:
            yield from map(_user_line, plan.users)
    yield from _documents(plan.collections, done=False)
    yield from _quarantine(plan.quarantine, verbose=verbose)
    yield from _indexes(plan.indexes, plan.collisions, verbose=verbose)
    yield from _following(plan, verbose=verbose)
    yield from _signing_in(plan.findings, verbose=verbose)
    yield from _findings(plan.findings, verbose=verbose)
    yield from _not_registered(plan.not_registered)
    if not plan.pending:
        yield from heading("Nothing is left to write.")
    yield from _why_not_zero(plan.quarantine, plan.indexes)
    yield from following(next_command)


def result_report(
    result: RunResult, *, next_command: str, verbose: bool = False, brief: bool = False
) -> Iterator[RenderableType]:
    """What a run did.

    Args:
        result: The run's result.
        next_command: What to run next; the report ends with it.
        verbose: Every user decision and every quarantined document, not the first few.
        brief: Numbers alone, after a plan has been shown that lists the rest.
    """
    plan = result.plan
    if result.run_id is None:
        yield title(
            f"Nothing was left to do in the database {plan.database}, and nothing was written."
        )
    else:
        how = "An interrupted run was finished" if result.resumed else "Done"
        yield title(f"{how} in the database {plan.database}: run {result.run_id}.")
    if plan.users:
        yield from _users(plan)
        if verbose:
            yield from map(_user_line, plan.users)
    yield from line_of_counts("created", result.created)
    yield from line_of_counts("filled in what was missing", result.filled)
    if brief:
        yield from _in_brief(result)
    else:
        yield from _documents(result.collections, done=True)
        yield from _quarantine(result.quarantine, verbose=verbose)
        yield from _indexes(result.indexes, plan.collisions, verbose=verbose, done=True)
        yield from _findings(result.findings, verbose=verbose)
        yield from _not_registered(plan.not_registered)
        yield from _why_not_zero(result.quarantine, result.indexes)
    yield from _signing_in(result.findings, verbose=verbose)
    yield from _pending(result)
    yield from _timings(result.timings)
    yield from following(next_command)


def _pending(result: RunResult) -> Iterator[str]:
    for name, documents in result.pending.items():
        yield (
            f"Still pending: {documents:,} documents of {name} came while the run looked for late "
            "ones, again and again. Stop the application, or backfill later."
        )


def status_report(status: Status, *, next_command: str) -> Iterator[RenderableType]:
    """How a database stands.

    Args:
        status: The database's status.
        next_command: What to run next; the report ends with it.
    """
    yield title(f"Status of the database {status.database}")
    if status.damage is not None:
        yield indented(f"{status.damage.what} {status.damage.next_step}")
    if status.runs or status.damage is None:
        yield from _runs(status.runs)
    lease = status.lease
    if lease is not None and lease.holder_ended:
        yield indented(
            f"The run {lease.holder} was interrupted: its process has ended. The same command "
            "resumes it at once."
        )
    elif lease is not None and lease.under_way:
        yield indented(
            f"A run is under way: {lease.holder}, since {_when(lease.since)}; its lease "
            f"lasts {lease.seconds_left:.0f} s unless it is renewed."
        )
    elif status.unfinished is not None:
        yield indented("Nobody holds the lease: the unfinished run was interrupted.")
    lacking = {name: count for name, count in status.without_workspace.items() if count}
    looked_at = len(status.without_workspace)
    if lacking:
        yield from heading(f"Documents without a workspace: {sum(lacking.values()):,}")
        table, quarantined = table_of("collection", "documents", ""), status.quarantined
        for name, count in lacking.items():
            left = quarantined[name]
            known = f"{left:,} of them left out by the last run" if left else ""
            table.add_row(plain(name), f"{count:,}", known)
        yield table
    else:
        yield from heading(
            f"Every document has a workspace, in {counted(looked_at, 'collection')}."
        )
    orphans = status.organizations_without_members
    yield from heading(f"Organizations without members: {orphans:,}")
    yield from following(next_command)


# -- users ------------------------------------------------------------------------------------


def _users(plan: Plan) -> Iterator[RenderableType]:
    yield from heading(f"Legacy users: {len(plan.users):,}")
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.add_column(justify="right")
    table.add_column()
    table.add_column()
    for outcome in Outcome:
        if count := plan.outcomes.get(outcome, 0):
            table.add_row(f"{count:,}", outcome.value, OUTCOMES[outcome])
    yield table


def _created_by(lines: Iterable[UserLine]) -> Mapping[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for line in lines:
        for collection in line.creates:
            counts[collection] += 1
    return counts


def _filled_by(lines: Iterable[UserLine]) -> Mapping[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for line in lines:
        for collection in line.fills:
            counts[collection] += 1
    return counts


def _user_line(line: UserLine) -> RenderableType:
    said = f"{printable(line.legacy_id)} {line.outcome.value}"
    if line.reason is not None:
        said += f" ({line.reason.value})"
    if line.user_id is not None and line.user_id != line.legacy_id:
        said += f" as {line.user_id}"
    if line.workspace is not None:
        said += f", workspace {line.workspace}"
    if line.creates:
        said += f"; creates {', '.join(line.creates)}"
    if line.fills:
        said += f"; completes {', '.join(line.fills)}"
    return indented(said)


# -- documents --------------------------------------------------------------------------------


def _documents(
    collections: Mapping[str, CollectionSummary], *, done: bool
) -> Iterator[RenderableType]:
    present = [summary for summary in collections.values() if summary.documents]
    total = sum(summary.documents for summary in present)
    yield from heading(f"Documents: {total:,} in {counted(len(present), 'collection')}")
    if not present:
        return
    # What is written is stamped, or follows a user to their new id, or both: the numbers add up.
    table = table_of("collection", "documents", "written" if done else "to write", "correct")
    table.add_column("left out", justify="right")
    table.add_column("workspaceId was", overflow="fold", min_width=15)
    for summary in present:
        before = ", ".join(
            f"{name.value} {count:,}" for name, count in summary.classes.most_common() if count
        )
        table.add_row(
            plain(summary.name),
            f"{summary.documents:,}",
            f"{summary.pending:,}",
            f"{summary.kept:,}",
            f"{summary.quarantined:,}",
            before,
        )
    yield table
    yield from line_of_counts(
        "user fields that follow a user's new id",
        {summary.name: summary.owners_rewritten for summary in present},
    )
    odd = {name for summary in present for name, count in summary.classes.items() if count}
    explained = [f"{name.value}: {CLASSES[name]}" for name in CLASSES if name in odd]
    if explained:
        yield indented("; ".join(explained) + ".", style="dim")


def _in_brief(result: RunResult) -> Iterator[RenderableType]:
    summaries = result.collections.values()
    written = sum(summary.pending for summary in summaries)
    kept = sum(summary.kept for summary in summaries)
    left_out = sum(summary.quarantined for summary in summaries)
    created = sum(decision.action is IndexAction.CREATE for decision in result.indexes)
    yield from heading(
        f"Documents: {sum(summary.documents for summary in summaries):,} = {written:,} written "
        f"+ {kept:,} right already + {left_out:,} left out"
    )
    blocked = sum(decision.action in _BLOCKED for decision in result.indexes)
    yield from heading(f"Indexes: {created:,} created, {blocked:,} that cannot be")


# -- what is left out -------------------------------------------------------------------------


def _quarantine(quarantine: Quarantine, *, verbose: bool) -> Iterator[RenderableType]:
    if not len(quarantine):
        yield from heading("Left out: nothing")
        return
    yield from heading(f"Left out, unchanged: {len(quarantine):,}")
    for (collection, reason, path), documents in groupby(
        quarantine, key=lambda d: (d.collection, d.reason, d.path)
    ):
        ids: list[Any] = []
        count = 0
        for document in documents:
            count += 1
            if verbose or count <= _FIRST:
                ids.append(document.id)
        yield indented(f"{collection}: {count:,} {reason.value} ({path})", style="bold")
        yield indented(REASONS[reason], by=4)
        yield from _ids(ids, count, verbose=verbose)


def _ids(ids: Sequence[Any], count: int, *, verbose: bool) -> Iterator[RenderableType]:
    if verbose:
        for identifier in ids:
            yield indented(printable(identifier), by=4, style="dim")
        return
    shown = [printable(identifier) for identifier in ids]
    if count > len(shown):
        shown.append(and_more(count - len(shown)))
    yield indented(", ".join(shown), by=4, style="dim")


def _why_not_zero(
    quarantine: Quarantine, indexes: Sequence[IndexDecision]
) -> Iterator[RenderableType]:
    blocked = sum(decision.action in _BLOCKED for decision in indexes)
    reasons = [
        f"{counted(len(quarantine), 'user or document', 'users or documents')} left out"
        if len(quarantine)
        else "",
        f"{counted(blocked, 'index', 'indexes')} not created" if blocked else "",
    ]
    if any(reasons):
        yield from heading(f"Exit code 5: {', '.join(filter(None, reasons))}.")


def _findings(findings: Sequence[Finding], *, verbose: bool) -> Iterator[RenderableType]:
    if not findings:
        return
    by_code: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.code not in _NAMED:
            by_code[finding.code].append(finding)
    if by_code:
        yield from heading("Worth knowing, and no obstacle")
    for code, found in by_code.items():
        subjects = dict.fromkeys((finding.collection, finding.subject) for finding in found)
        noun = "document"
        if found[0].id is None:
            noun = "field" if found[0].path else "collection"
        yield indented(f"{code} ({counted(len(subjects), noun)}): {finding_in_words(code)}")
        if found[0].id is not None and found[0].path:
            paths = Counter(finding.path for finding in found)
            shown = [f"{path} {number:,}" for path, number in paths.most_common(_NAMES)]
            more = [and_more(len(paths) - len(shown))] if len(paths) > len(shown) else []
            yield indented(", ".join([*shown, *more]), by=4)
        if found[0].id is None:
            listed = [subject for _, subject in subjects]
            shown = listed if verbose else listed[:_NAMES]
            yield indented(", ".join(shown), by=4)
            if len(listed) > len(shown):
                yield indented(and_more(len(listed) - len(shown)), by=4)
        elif verbose:
            for finding in found:
                where = f"{finding.collection} {finding.subject}"
                yield indented(f"{where} {finding.path}".rstrip(), by=4, style="dim")


def _signing_in(findings: Sequence[Finding], *, verbose: bool) -> Iterator[RenderableType]:
    """Users by their ids: who cannot sign in, and who was kept out and can."""
    for what, codes in _SIGNING_IN.items():
        found = [finding for finding in findings if finding.code in codes]
        if not found:
            continue
        yield from heading(f"{what}: {len({finding.id for finding in found}):,}")
        for code in codes:
            some = [finding for finding in found if finding.code == code]
            if some:
                places = dict.fromkeys(finding.collection for finding in some)
                yield indented(f"{', '.join(places)}: {len(some):,} {code}", style="bold")
                yield indented(finding_in_words(code), by=4)
                shown = some if verbose else some[:_FOLLOWING]
                yield from _ids([finding.id for finding in shown], len(some), verbose=verbose)


def _following(plan: Plan, *, verbose: bool) -> Iterator[RenderableType]:
    users = [finding.id for finding in plan.findings if finding.code == FOLLOWS_MEMBERSHIP]
    if not users:
        return
    yield from heading(
        "Documents that go into somebody else's organization, since their user left their own: "
        f"{counted(len(users), 'user')}"
    )
    shown = users if verbose else users[:_FOLLOWING]
    for user in shown:
        yield indented(f"user {user} to organization {plan.directory.home(user)}")
    if len(users) > len(shown):
        yield indented(and_more(len(users) - len(shown)))


def _not_registered(counts: Mapping[str, int]) -> Iterator[RenderableType]:
    if counts:
        listed = ", ".join(f"{name} ({count:,})" for name, count in counts.items())
        yield from heading(f"Collections nobody described, left alone: {len(counts)}")
        yield indented(listed)


# -- indexes ----------------------------------------------------------------------------------


def _indexes(
    decisions: Sequence[IndexDecision],
    collisions: Sequence[Collision],
    *,
    verbose: bool,
    done: bool = False,
) -> Iterator[RenderableType]:
    if not decisions:
        return
    counts: dict[IndexAction, int] = defaultdict(int)
    for decision in decisions:
        counts[decision.action] += 1
    yield from heading(f"Indexes: {len(decisions):,}")
    for action in IndexAction:
        if counts[action]:
            created = done and action is IndexAction.CREATE
            words = "created" if created else INDEX_ACTIONS[action]
            yield indented(f"{counts[action]:,} {words}")
    for decision in decisions:
        if decision.action in _BLOCKED:
            what = f"{decision.collection}.{decision.spec.name}: {decision.reason}"
            yield indented(what, by=4)
        elif verbose:
            what = f"{decision.collection}.{decision.spec.name}: {decision.action.value}"
            yield indented(what, by=4, style="dim")
    if collisions:
        yield from heading(f"Keys that must be unique and are shared: {len(collisions):,}")
        for collision in collisions if verbose else collisions[:_FIRST]:
            first, last = map(printable, collision.ids)
            among = "" if collision.count == 2 else ", among them"
            yield indented(
                f"{collision.collection}.{collision.index}: "
                f"{counted(collision.count, 'document')}{among} {first} and {last}"
            )
        if not verbose and len(collisions) > _FIRST:
            yield indented(and_more(len(collisions) - _FIRST))


# -- runs -------------------------------------------------------------------------------------


def _runs(runs: Sequence[RunRecord]) -> Iterator[RenderableType]:
    if not runs:
        yield from heading("No run yet.")
        return
    yield from heading(f"Runs: {len(runs):,}{', the newest first' if len(runs) > 1 else ''}")
    table = table_of("run", "command", "state", "started (UTC)", "left out", "exit")
    # The longest state and a time of day fit on 80 columns, with one blank between columns.
    table.collapse_padding = True
    for run in runs[:_RUNS]:
        record = run.document
        table.add_row(
            str(run.run_id),
            run.command,
            "unfinished" if run.state is RunState.RUNNING else run.state.value,
            _when(record.get("startedAt"), "%Y-%m-%d %H:%M"),
            str(record.get("quarantined", "")),
            str(record.get("exitCode", "")),
        )
    yield table
    if len(runs) > _RUNS:
        yield indented(f"and {len(runs) - _RUNS} older (--json lists all)")


def _timings(timings: Mapping[str, float]) -> Iterator[RenderableType]:
    phases = {name: seconds for name, seconds in timings.items() if "." not in name}
    if phases:
        listed = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items())
        yield from heading("Time: " + listed)


def _when(value: object, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return value.strftime(form) if isinstance(value, datetime) else ""
