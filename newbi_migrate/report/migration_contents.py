"""Plans and runs as the contents of report files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, Final

from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.users import BARRED, CANNOT_SIGN_IN, Finding
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass
from newbi_migrate.migration.planning.results import (
    CollectionSummary,
    IndexAction,
    IndexDecision,
    Plan,
    Quarantine,
    QuarantinedDocument,
    RunResult,
    UserLine,
)
from newbi_migrate.report.contents import (
    Badge,
    Bar,
    Case,
    Cell,
    Contents,
    Figure,
    Part,
    Section,
    State,
    Table,
    Tone,
    share,
    table_of,
    timings_section,
)
from newbi_migrate.report.json import plan_to_json, result_to_json
from newbi_migrate.report.words import (
    CLASSES,
    INDEX_ACTIONS,
    OUTCOMES,
    REASONS,
    counted,
    finding_in_words,
)
from newbi_migrate.store.collisions import Collision

__all__ = ["left_out_cases", "left_out_section", "plan_contents", "result_contents"]

Emails = Mapping[str, str]
"""A legacy user's id to their e-mail as it may be shown."""

_EXAMPLES: Final = 5
_SIGNING_IN: Final = (*CANNOT_SIGN_IN, *BARRED.values())
_BLOCKED: Final = (IndexAction.CONFLICT, IndexAction.COLLISION)
_OUTCOME_TONES: Final[Mapping[Outcome, Tone]] = {
    Outcome.CREATED: Tone.NEW,
    Outcome.MERGED: Tone.GOOD,
    Outcome.ALIASED: Tone.PLAIN,
    Outcome.QUARANTINED: Tone.ODD,
}
_CLASS_TONES: Final[Mapping[WorkspaceClass, Tone]] = {
    WorkspaceClass.VALID: Tone.GOOD,
    WorkspaceClass.MISSING: Tone.PLAIN,
    WorkspaceClass.NULL: Tone.PLAIN_2,
    WorkspaceClass.BLANK: Tone.PLAIN_3,
    WorkspaceClass.WRONG_TYPE: Tone.ODD,
    WorkspaceClass.USER_ID: Tone.ODD_2,
    WorkspaceClass.DANGLING: Tone.ODD_3,
    WorkspaceClass.FOREIGN: Tone.BAD,
}
_ACTION_TONES: Final[Mapping[IndexAction, Tone]] = {
    IndexAction.CREATE: Tone.NEW,
    IndexAction.PRESENT: Tone.GOOD,
    IndexAction.CONFLICT: Tone.BAD,
    IndexAction.COLLISION: Tone.ODD,
    IndexAction.OBSOLETE: Tone.PLAIN,
}


def plan_contents(
    plan: Plan, *, command: str = "plan", next_command: str = "", emails: Emails | None = None
) -> Contents:
    """What a report says of a plan.

    Args:
        plan: The plan.
        command: The command that made it.
        next_command: What to run next.
        emails: The legacy users' e-mails, as they may be shown.
    """
    return Contents(
        command=command,
        database=plan.database,
        title=f"Plan for the database {plan.database}. Nothing was written.",
        exit_code=plan.exit_code,
        next_command=next_command,
        dry_run=True,
        figures=_figures(plan, plan.collections, plan.quarantine, done=False),
        sections=_sections(
            plan, plan.collections, plan.quarantine, plan.findings, plan.indexes, emails, done=False
        ),
        cases=_cases(plan, plan.collections, plan.quarantine, plan.indexes, {}),
        lines=partial(
            _lines, plan, plan.collections, plan.quarantine, plan.findings, plan.indexes, emails
        ),
        value=lambda: _with_emails(plan_to_json(plan), emails),
    )


def result_contents(
    result: RunResult, *, command: str, next_command: str = "", emails: Emails | None = None
) -> Contents:
    """What a report says of a run.

    Args:
        result: What it did.
        command: The command it was.
        next_command: What to run next.
        emails: The legacy users' e-mails, as they may be shown.
    """
    plan = result.plan
    if result.run_id is None:
        title = f"Nothing was left to do in the database {plan.database}; nothing was written."
    else:
        how = "An interrupted run was finished" if result.resumed else "Done"
        title = f"{how} in the database {plan.database}: run {result.run_id}."
    if result.pending:
        late = ", ".join(f"{count:,} of {name}" for name, count in result.pending.items())
        title += f" Still pending, since they came late again and again: {late}."
    written = Counter(result.created) + Counter({f"{n} (filled)": c for n, c in _filled(result)})
    created = Section(
        "Documents written for users",
        tables=table_of(
            "Documents created, and completed where something was missing",
            ("collection", "documents"),
            written.items(),
            lambda item: (item[0], item[1]),
        ),
    )
    sections = _sections(
        plan,
        result.collections,
        result.quarantine,
        result.findings,
        result.indexes,
        emails,
        (*([created] if written else []), *timings_section(result.timings)),
        done=True,
    )
    return Contents(
        command=command,
        database=plan.database,
        title=title,
        exit_code=result.exit_code,
        next_command=next_command,
        run_id=None if result.run_id is None else str(result.run_id),
        figures=_figures(plan, result.collections, result.quarantine, done=True),
        sections=sections,
        cases=_cases(plan, result.collections, result.quarantine, result.indexes, result.timings),
        timings=result.timings,
        lines=partial(
            _lines,
            plan,
            result.collections,
            result.quarantine,
            result.findings,
            result.indexes,
            emails,
        ),
        value=lambda: _with_emails(result_to_json(result), emails),
    )


def _filled(result: RunResult) -> Iterator[tuple[str, int]]:
    return ((name, count) for name, count in result.filled.items() if count)


def _with_emails(value: dict[str, Any], emails: Emails | None) -> dict[str, Any]:
    return value if emails is None else {**value, "emails": dict(emails)}


# -- for people -------------------------------------------------------------------------------


def _figures(
    plan: Plan,
    collections: Mapping[str, CollectionSummary],
    quarantine: Quarantine,
    *,
    done: bool,
) -> tuple[Figure, ...]:
    users = [Figure(len(plan.users), "legacy users")] if plan.users else []
    return (
        *users,
        Figure(sum(s.documents for s in collections.values()), "documents"),
        Figure(
            sum(s.pending for s in collections.values()),
            "documents written" if done else "documents to write",
            Tone.NEW,
        ),
        Figure(len(quarantine), "left out, unchanged", Tone.ODD if len(quarantine) else Tone.GOOD),
    )


def _sections(
    plan: Plan,
    collections: Mapping[str, CollectionSummary],
    quarantine: Quarantine,
    findings: Sequence[Finding],
    indexes: Sequence[IndexDecision],
    emails: Emails | None,
    beside: Iterable[Section] = (),
    *,
    done: bool,
) -> tuple[Section, ...]:
    sections = [
        _users(plan),
        _documents(collections, done=done),
        left_out_section(quarantine.counts(), quarantine.first(_EXAMPLES)),
        _indexes(indexes, plan.collisions, done=done),
        _signing_in(findings),
        _findings(findings),
        _not_registered(plan.not_registered),
        *beside,
        _one_by_one(plan.users, emails),
    ]
    return tuple(section for section in sections if section is not None)


def _users(plan: Plan) -> Section | None:
    if not plan.users:
        return None
    parts = [
        Part(f"{outcome.value}: {OUTCOMES[outcome]}", count, _OUTCOME_TONES[outcome])
        for outcome in Outcome
        if (count := plan.outcomes.get(outcome, 0))
    ]
    sentence = (
        f"{counted(len(plan.users), 'legacy user')} in {plan.source}. "
        "The parts add up to all of them."
    )
    return Section(
        "Where the users go",
        (sentence,),
        bars=(Bar(tuple(parts)),),
    )


def _documents(collections: Mapping[str, CollectionSummary], *, done: bool) -> Section | None:
    present = [summary for summary in collections.values() if summary.documents]
    empty = len(collections) - len(present)
    if not present:
        return None
    written = sum(summary.pending for summary in present)
    kept = sum(summary.kept for summary in present)
    left = sum(summary.quarantined for summary in present)
    parts = (
        Part("written" if done else "to write", written, Tone.NEW),
        Part("right already", kept, Tone.GOOD),
        Part("left out, unchanged", left, Tone.ODD),
    )
    sentence = (
        f"{counted(sum(s.documents for s in present), 'document')} in "
        f"{counted(len(present), 'collection')}"
    )
    sentence += f"; {counted(empty, 'collection')} without any." if empty else "."
    return Section(
        "Where the documents go",
        (sentence,),
        bars=(Bar(tuple(part for part in parts if part.count)),),
        tables=table_of(
            "The workspace of the documents before and after; each bar is the whole collection",
            ("collection", "documents", "workspaceId", "user fields rewritten"),
            present,
            _collection,
        ),
    )


def _collection(summary: CollectionSummary) -> tuple[Cell, ...]:
    before = tuple(
        Part(CLASSES[name], summary.classes[name], _CLASS_TONES[name])
        for name in WorkspaceClass
        if summary.classes[name]
    )
    after = (
        Part("in the right workspace", summary.pending + summary.kept, Tone.GOOD),
        Part("left as it is", summary.quarantined, Tone.ODD),
    )
    bars = (Bar(before, "before"), Bar(tuple(p for p in after if p.count), "after"))
    # Collections without a workspace have no classes; only user fields follow an alias there.
    shown: Cell = bars if before else "not scoped"
    return summary.name, summary.documents, shown, summary.owners_rewritten


def left_out_section(
    counts: Mapping[tuple[str, Reason], int],
    examples: Iterable[QuarantinedDocument],
) -> Section:
    """What was left as it is, by collection and reason.

    Args:
        counts: Collection and reason to the number of users or documents.
        examples: Some of them, or all.
    """
    total = sum(counts.values())
    if not total:
        return Section("Left out", ("Nothing.",))
    ids: dict[tuple[str, Reason], list[str]] = {}
    for document in examples:
        known = ids.setdefault((document.collection, document.reason), [])
        if len(known) < _EXAMPLES:
            known.append(str(document.id))
    most = max(counts.values())

    def row(item: tuple[tuple[str, Reason], int]) -> tuple[Cell, ...]:
        (collection, reason), count = item
        return (
            reason.value,
            collection,
            share(reason.value, count, most, Tone.ODD),
            REASONS[reason],
            ", ".join(ids.get((collection, reason), ())),
        )

    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    sentence = (
        f"{counted(total, 'user or document', 'users or documents')} stay as they are, to the "
        "byte, until a person has decided."
    )
    return Section(
        "Left out",
        (sentence,),
        tables=table_of(
            "Users and documents that are left out, by reason",
            ("reason", "collection", "how many", "what helps", "the first of them"),
            ordered,
            row,
        ),
    )


def _indexes(
    decisions: Sequence[IndexDecision], collisions: Sequence[Collision], *, done: bool
) -> Section | None:
    if not decisions:
        return None
    counts = Counter(decision.action for decision in decisions)

    def words(action: IndexAction) -> str:
        return "created" if done and action is IndexAction.CREATE else INDEX_ACTIONS[action]

    parts = tuple(
        Part(words(action), counts[action], _ACTION_TONES[action])
        for action in IndexAction
        if counts[action]
    )
    tables = (
        *table_of(
            "Indexes that cannot be built",
            ("index", "collection", "why"),
            [decision for decision in decisions if decision.action in _BLOCKED],
            lambda d: (d.spec.name, d.collection, Badge(d.reason, Tone.BAD)),
        ),
        *table_of(
            "Keys that must be unique and are shared",
            ("index", "collection", "documents", "the first and the last"),
            collisions,
            lambda c: (c.index, c.collection, c.count, ", ".join(map(str, c.ids))),
        ),
    )
    return Section("Indexes", bars=(Bar(parts),), tables=tables)


def _signing_in(findings: Sequence[Finding]) -> Section | None:
    found = [finding for finding in findings if finding.code in _SIGNING_IN]
    if not found:
        return None
    return Section(
        "Users who cannot sign in, or should not",
        tables=table_of(
            "Each by the document to look at",
            ("finding", "collection", "id", "what to do"),
            sorted(found, key=lambda finding: _SIGNING_IN.index(finding.code)),
            lambda f: (f.code, f.collection, str(f.id), finding_in_words(f.code)),
        ),
    )


def _findings(findings: Sequence[Finding]) -> Section | None:
    documents: dict[str, set[tuple[str, str]]] = {}
    for finding in findings:
        if finding.code in _SIGNING_IN:
            continue
        documents.setdefault(finding.code, set()).add((finding.collection, finding.subject))
    if not documents:
        return None
    most = max(map(len, documents.values()))
    ordered = sorted(documents.items(), key=lambda item: (-len(item[1]), item[0]))

    def row(item: tuple[str, set[tuple[str, str]]]) -> tuple[Cell, ...]:
        code, found = item
        first = ", ".join(identifier for _, identifier in islice(sorted(found), _EXAMPLES))
        return code, share(code, len(found), most, Tone.PLAIN), finding_in_words(code), first

    return Section(
        "Worth knowing, and no obstacle",
        tables=table_of(
            "Findings by kind",
            ("finding", "number", "what it means", "the first of them"),
            ordered,
            row,
        ),
    )


def _not_registered(counts: Mapping[str, int]) -> Section | None:
    if not counts:
        return None
    return Section(
        "Collections nobody described, left alone",
        tables=table_of(
            "Collections that the registry does not know",
            ("collection", "documents"),
            sorted(counts.items()),
            lambda item: (item[0], item[1]),
        ),
    )


def _one_by_one(users: Sequence[UserLine], emails: Emails | None) -> Section | None:
    if not users:
        return None
    # Whoever needs a person's decision comes first.
    urgent = (Outcome.QUARANTINED, Outcome.ALIASED, Outcome.MERGED, Outcome.CREATED)
    ordered = chain.from_iterable(
        (line for line in users if line.outcome is outcome) for outcome in urgent
    )
    columns: tuple[str, ...] = ("legacy user", "what becomes of them", "user id", "workspace")

    def row(line: UserLine) -> tuple[Cell, ...]:
        why = "" if line.reason is None else f": {line.reason.value}"
        outcome = Badge(f"{line.outcome.value}{why}", _OUTCOME_TONES[line.outcome])
        same = line.user_id is not None and line.user_id == line.legacy_id
        user = "the same" if same else _text(line.user_id)
        cells = (outcome, user, _text(line.workspace))
        name = str(line.legacy_id)
        return (name, *cells) if emails is None else (name, emails.get(name, ""), *cells)

    if emails is not None:
        columns = (columns[0], "e-mail", *columns[1:])
    tables: tuple[Table, ...] = table_of(
        "Legacy users, those who need a decision first", columns, ordered, row
    )
    return Section("Users one by one", tables=tables)


def _text(value: object) -> str:
    return "" if value is None else str(value)


# -- for pipelines ----------------------------------------------------------------------------


def left_out_cases(
    counts: Mapping[tuple[str, Reason], int],
    examples: Iterable[QuarantinedDocument],
    state: State,
) -> list[Case]:
    """One case for each collection and reason."""
    ids: dict[tuple[str, Reason], list[str]] = {key: [] for key in counts}
    for document in examples:
        known = ids.setdefault((document.collection, document.reason), [])
        if len(known) < _EXAMPLES:
            known.append(f"{document.collection} {document.id} {document.path}".rstrip())
    return [
        Case(
            collection,
            f"nothing is left out as {reason.value}",
            state,
            "left-out",
            f"{counted(count, 'user or document', 'users or documents')} left out: "
            f"{REASONS[reason]}",
            tuple(ids[collection, reason]),
        )
        for (collection, reason), count in counts.items()
    ]


def _cases(
    plan: Plan,
    collections: Mapping[str, CollectionSummary],
    quarantine: Quarantine,
    indexes: Sequence[IndexDecision],
    timings: Mapping[str, float],
) -> tuple[Case, ...]:
    looked_at = ([plan.source] if plan.users else []) + list(collections)
    counts = quarantine.counts()
    left_out = {name for name, _ in counts}
    cases = [
        Case(name, "nothing is left out", seconds=timings.get(f"documents.{name}", 0.0))
        for name in looked_at
        if name not in left_out
    ]
    cases += left_out_cases(counts, quarantine.first(_EXAMPLES), State.FAILED)
    for decision in indexes:
        blocked = decision.action in _BLOCKED
        cases.append(
            Case(
                decision.collection,
                f"index {decision.spec.name}",
                State.FAILED if blocked else State.PASSED,
                f"index-{decision.action.value}" if blocked else "",
                decision.reason,
            )
        )
    return tuple(sorted(cases, key=lambda case: case.suite))


# -- for programs -----------------------------------------------------------------------------


def _lines(
    plan: Plan,
    collections: Mapping[str, CollectionSummary],
    quarantine: Quarantine,
    findings: Sequence[Finding],
    indexes: Sequence[IndexDecision],
    emails: Emails | None,
) -> Iterator[Mapping[str, Any]]:
    for name, summary in collections.items():
        yield {"type": "collection", "collection": name, **summary.to_json()}
    for line in plan.users:
        email = {} if emails is None else {"email": emails.get(str(line.legacy_id))}
        yield {"type": "user", **line.to_json(), **email}
    for document in quarantine:
        yield {
            "type": "left-out",
            "collection": document.collection,
            "id": str(document.id),
            "path": document.path,
            "reason": document.reason.value,
        }
    for finding in findings:
        yield {"type": "finding", **finding.to_json()}
    for decision in indexes:
        yield {"type": "index", **decision.to_json()}
    for collision in plan.collisions:
        yield {"type": "collision", **collision.to_json()}
