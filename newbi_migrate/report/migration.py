"""Plans and runs as documents."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, Final

from newbi_migrate.answers import answer
from newbi_migrate.documents.better_auth import COLLECTIONS as BETTER_AUTH_COLLECTIONS
from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.users import FOLLOWS_MEMBERSHIP, Finding
from newbi_migrate.mapping.workspace import Reason, WorkspaceClass
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.planning.codes import with_rules
from newbi_migrate.migration.planning.options import MigrationOptions
from newbi_migrate.migration.planning.results import (
    CollectionSummary,
    IndexAction,
    IndexDecision,
    Plan,
    PlannedCollision,
    Quarantine,
    QuarantinedDocument,
    RunResult,
    UserLine,
)
from newbi_migrate.report.document import (
    Badge,
    Bar,
    Block,
    Case,
    Cell,
    Document,
    Each,
    Figure,
    Group,
    Groups,
    Part,
    Row,
    Section,
    State,
    Tone,
    sum_of,
    table_of,
    timings_section,
)
from newbi_migrate.report.messages import (
    BLOCKED,
    CLASSES,
    HINDERED,
    INDEX_ACTIONS,
    INDEX_DEFERRED,
    LASTING_CURES,
    OUTCOME_NAMES,
    OUTCOMES,
    SHARED_LATER_CURE,
    SIGN_IN_CURES,
    cures_under,
    finding_in_words,
    reasons_under,
)
from newbi_migrate.report.text import counted
from newbi_migrate.store.ids import id_key

__all__ = [
    "plan_document",
    "quarantined_cases",
    "quarantined_groups",
    "result_document",
]

Emails = Mapping[str, str]

# So many kinds of findings are shown on a screen; of more, how many findings they are.
_FEW_KINDS: Final = 5
_WORTH_KNOWING: Final = "Worth knowing, and no obstacle"
"""A legacy user's id to their e-mail as it may be shown."""

_EXAMPLES: Final = 5
_OUTCOME_TONES: Final[Mapping[Outcome, Tone]] = {
    Outcome.CREATED: Tone.NEW,
    Outcome.PRESENT: Tone.GOOD,
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
    IndexAction.DEFERRED: Tone.PLAIN_2,
    IndexAction.CONFLICT: Tone.BAD,
    IndexAction.COLLISION: Tone.ODD,
    IndexAction.OBSOLETE: Tone.PLAIN,
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What a plan and the run that follows it tell in the same way."""

    plan: Plan
    exit_code: ExitCode
    outcomes: Mapping[Outcome, int]
    collections: Mapping[str, CollectionSummary]
    quarantine: Quarantine
    findings: Sequence[Finding]
    indexes: Sequence[IndexDecision]
    done: bool
    emails: Emails | None = None
    timings: Mapping[str, float] | None = None
    resumed: bool = False

    @property
    def blocked(self) -> list[IndexDecision]:
        """The indexes that cannot be built."""
        return [decision for decision in self.indexes if decision.action.blocked]


def plan_document(
    plan: Plan, *, command: str = "plan", next_command: str = "", emails: Emails | None = None
) -> Document:
    """The document of a plan.

    Args:
        plan: The plan.
        command: The command that made it.
        next_command: What to run next.
        emails: The legacy users' e-mails, as they may be shown.
    """
    found = _Found(
        plan,
        plan.exit_code,
        plan.outcomes,
        plan.collections,
        plan.quarantine,
        plan.findings,
        plan.indexes,
        False,
        emails,
    )
    nothing = () if plan.writes else ("Nothing is left to write.",)
    if plan.unrecorded and not plan.writes:
        nothing = ("Nothing is left to write; a run records what it decides.",)
    return Document(
        command=command,
        database=plan.database,
        title=(
            f"Plan for the database {plan.database}: legacy users from {plan.source}. "
            "Nothing was written."
        ),
        exit_code=plan.exit_code,
        next_command=next_command,
        dry_run=True,
        figures=_figures(found),
        sections=_sections(found),
        summary=(*_summary(found, _created_by(plan), _filled_by(plan)), *nothing),
        why=_why_not_zero(found),
        cases=_cases(found),
        lines=partial(_lines, found),
        value=lambda: _with_emails(answer(plan), emails),
    )


def result_document(
    result: RunResult, *, command: str, next_command: str = "", emails: Emails | None = None
) -> Document:
    """The document of a run.

    Args:
        result: What it did.
        command: The command it was.
        next_command: What to run next.
        emails: The legacy users' e-mails, as they may be shown.
    """
    plan = result.plan
    if result.run_id is None:
        title = f"Nothing was left to do in the database {plan.database}, and nothing was written."
    else:
        how = "An interrupted run was finished" if result.resumed else "Done"
        title = f"{how} in the database {plan.database}: run {result.run_id}."
    found = _Found(
        plan,
        result.exit_code,
        result.outcomes,
        result.collections,
        result.quarantine,
        result.findings,
        result.indexes,
        True,
        emails,
        result.timings,
        result.resumed,
    )
    late = [
        f"Still pending: {counted(documents, 'document')} of {name} came while the run looked for "
        "late ones, again and again. Stop the application, or backfill later."
        for name, documents in result.pending.items()
    ]
    return Document(
        command=command,
        database=plan.database,
        title=title,
        exit_code=result.exit_code,
        next_command=next_command,
        run_id=None if result.run_id is None else str(result.run_id),
        figures=_figures(found),
        sections=(*_sections(found), *([Section("Late documents", tuple(late))] if late else [])),
        summary=(
            *_summary(found, result.created, result.filled),
            *_seconds(result.timings),
        ),
        why=_why_not_zero(found),
        cases=_cases(found),
        timings=result.timings,
        lines=partial(_lines, found),
        value=lambda: _with_emails(answer(result), emails),
    )


def _with_emails(value: dict[str, Any], emails: Emails | None) -> dict[str, Any]:
    return value if emails is None else {**value, "emails": dict(emails)}


def _created_by(plan: Plan) -> Counter[str]:
    return Counter(chain.from_iterable(line.creates for line in plan.users))


def _filled_by(plan: Plan) -> Counter[str]:
    return Counter(chain.from_iterable(line.fills for line in plan.users))


# -- for people -------------------------------------------------------------------------------


def _figures(found: _Found) -> tuple[Figure, ...]:
    users, left = len(found.plan.users), len(found.quarantine)
    summaries = found.collections.values()
    return (
        *([Figure(users, "legacy users")] if users else []),
        Figure(sum(s.documents for s in summaries), "documents"),
        Figure(
            sum(s.pending for s in summaries),
            "documents written" if found.done else "documents to write",
            Tone.NEW,
        ),
        Figure(left, "quarantined, unchanged", Tone.ODD if left else Tone.GOOD),
    )


def _summary(found: _Found, created: Mapping[str, int], filled: Mapping[str, int]) -> Iterator[str]:
    done = found.done
    users = {OUTCOME_NAMES[outcome]: found.outcomes.get(outcome, 0) for outcome in Outcome}
    if found.plan.users:
        yield sum_of("Legacy users", users)
    said = [
        f"{words} {', '.join(f'{name} {count:,}' for name, count in counts.items() if count)}"
        for words, counts in (
            ("created" if done else "create", created),
            ("filled" if done else "fill", filled),
        )
        if any(counts.values())
    ]
    if said:
        yield f"For users: {'; '.join(said)}."
    summaries = found.collections.values()
    documents = {
        "written" if done else "to write": sum(s.pending for s in summaries),
        "right already": sum(s.kept for s in summaries),
        "quarantined": sum(s.quarantined for s in summaries),
    }
    collections = counted(sum(bool(s.documents) for s in summaries), "collection")
    yield sum_of("Documents", documents, more=f", in {collections}")
    if found.indexes:
        counts = Counter(decision.action for decision in found.indexes)
        create = "created" if done else "to create"
        indexes = {
            create: counts[IndexAction.CREATE],
            "there already": counts[IndexAction.PRESENT],
            "deferred": counts[IndexAction.DEFERRED],
            "that cannot be created": sum(
                counts[action] for action in IndexAction if action.blocked
            ),
            "old": counts[IndexAction.OBSOLETE],
        }
        yield sum_of("Indexes", indexes)
    if found.plan.not_registered:
        names = sorted(found.plan.not_registered.items())
        listed = ", ".join(
            f"{name} ({'a time series' if count is None else f'{count:,}'})"
            for name, count in names
        )
        yield f"Collections nobody described, left alone: {listed}."
    worth_knowing = None if done else _findings(found)
    if worth_knowing is not None and worth_knowing.detail:
        yield f"{worth_knowing.title} (--verbose lists them)."


def _why_not_zero(found: _Found) -> str:
    left = counted(len(found.quarantine), "user or document", "users or documents")
    indexes = counted(len(found.blocked), "index", "indexes")
    reasons = [
        f"{left} quarantined" if len(found.quarantine) else "",
        f"{indexes} not created" if found.blocked else "",
    ]
    return ", ".join(filter(None, reasons)) if found.exit_code is ExitCode.QUARANTINED else ""


def _seconds(timings: Mapping[str, float]) -> Iterator[str]:
    phases = {name: seconds for name, seconds in timings.items() if "." not in name}
    if phases:
        yield "Time: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items())


def _sections(found: _Found) -> tuple[Section, ...]:
    sections = (
        _users(found),
        _documents(found),
        _quarantined(found),
        _blocked(found),
        _shared_later(found.plan),
        _indexes(found),
        _following(found.plan),
        *_signing_in(found.findings),
        _lasting(found),
        _findings(found),
        *timings_section(found.timings or {}),
        _one_by_one(found),
    )
    return tuple(section for section in sections if section is not None)


def _users(found: _Found) -> Section | None:
    plan = found.plan
    if not plan.users:
        return None
    parts = [
        Part(f"{OUTCOME_NAMES[outcome]}: {OUTCOMES[outcome]}", count, _OUTCOME_TONES[outcome])
        for outcome in Outcome
        if (count := found.outcomes.get(outcome, 0))
    ]
    sentence = (
        f"{counted(len(plan.users), 'legacy user')} in {plan.source}. "
        "The parts add up to all of them."
    )
    return Section("Where the users go", (sentence, Bar(tuple(parts))), detail=True)


def _documents(found: _Found) -> Section | None:
    collections = found.collections
    present = [summary for summary in collections.values() if summary.documents]
    empty = len(collections) - len(present)
    if not present:
        return None
    parts = (
        Part("written" if found.done else "to write", sum(s.pending for s in present), Tone.NEW),
        Part("right already", sum(s.kept for s in present), Tone.GOOD),
        Part("quarantined, unchanged", sum(s.quarantined for s in present), Tone.ODD),
    )
    sentence = (
        f"{counted(sum(s.documents for s in present), 'document')} in "
        f"{counted(len(present), 'collection')}"
    )
    sentence += f"; {counted(empty, 'collection')} without any." if empty else "."
    blocks: tuple[Block, ...] = (
        sentence,
        Bar(tuple(part for part in parts if part.count)),
        *table_of(
            "The workspace of the documents before and after; each bar is the whole collection",
            ("collection", "documents", "workspaceId", "user fields rewritten"),
            present,
            _collection,
        ),
    )
    return Section("Where the documents go", blocks, detail=True)


def _collection(summary: CollectionSummary) -> Row:
    before = tuple(
        Part(CLASSES[name], summary.classes[name], _CLASS_TONES[name])
        for name in WorkspaceClass
        if summary.classes[name]
    )
    after = (
        Part("in the right workspace", summary.pending + summary.kept, Tone.GOOD),
        Part("left unchanged", summary.quarantined, Tone.ODD),
    )
    bars = (Bar(before, "before"), Bar(tuple(p for p in after if p.count), "after"))
    # Collections without a workspace have no classes; only user fields follow an alias there.
    shown: Cell = bars if before else "not scoped"
    return summary.name, summary.documents, shown, summary.owners_rewritten


# -- what is quarantined -------------------------------------------------------------------------


def _quarantined(found: _Found) -> Section:
    quarantine = found.quarantine
    if not len(quarantine):
        return Section("Quarantined: nothing")
    waiting = _Waiting.of(quarantine, found.plan.source)
    groups = quarantined_groups(
        quarantine.counts(), quarantine.of_reason, found.plan.options, waiting
    )
    return Section(
        f"Quarantined, unchanged: {len(quarantine):,}",
        (Groups("Users and documents that are quarantined, by reason", "reason", groups),),
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The documents that are quarantined because their user is.

    Attributes:
        source: Where the legacy users are.
        of_user: Key of a user to how many documents of each collection wait for them.
        of_reason: Why users are quarantined, to how many documents wait for them.
    """

    source: str = ""
    of_user: Mapping[bytes, Counter[str]] = field(default_factory=dict)
    of_reason: Mapping[Reason, int] = field(default_factory=dict)

    @classmethod
    def of(cls, quarantine: Quarantine, source: str) -> _Waiting:
        waiting = quarantine.of_users()
        reasons: Counter[Reason] = Counter()
        for user in quarantine.of(source) if waiting else ():
            reasons[user.reason] += waiting.get(id_key(user.id), Counter()).total()
        return cls(source, waiting, reasons)

    def cure(self, reason: Reason, cure: str) -> str:
        """What helps where users or documents are quarantined, and how many wait for it."""
        number = self.of_reason.get(reason, 0)
        if not number:
            return cure
        return f"{cure}; {counted(number, 'document waits', 'documents wait')}"

    def named(self, document: QuarantinedDocument) -> str:
        """A document with the user it belongs to, or a user with the documents that wait."""
        name = _named(document)
        if document.user is not None:
            return f"{name}, of the quarantined user {shown_id(document.user)}"
        theirs = self.of_user.get(id_key(document.id))
        if theirs is None or document.collection != self.source:
            return name
        return f"{name}; waiting: {', '.join(f'{n} {count:,}' for n, count in theirs.items())}"


def quarantined_groups(
    counts: Mapping[tuple[str, Reason], int],
    documents: Callable[[Reason], Iterable[QuarantinedDocument]],
    options: MigrationOptions,
    waiting: _Waiting = _Waiting(),
) -> tuple[Group, ...]:
    """One group for each reason, those of users first.

    Args:
        counts: Collection and reason to how many are quarantined.
        documents: Gives what is known of those with a reason.
        options: The choices they are quarantined under.
        waiting: Whose documents wait for them.
    """
    helps = cures_under(options)
    return tuple(
        Group(
            name=reason.value,
            count=sum(where.values()),
            where=where,
            meaning=sentence,
            cure=waiting.cure(reason, helps[reason]),
            ids=Each(documents(reason), waiting.named),
        )
        for reason, sentence in reasons_under(options).items()
        if (where := {name: n for (name, why), n in sorted(counts.items()) if why is reason})
    )


def _named(document: QuarantinedDocument) -> str:
    return f"{document.collection} {shown_id(document.id)} {document.path}".rstrip()


def _blocked(found: _Found) -> Section | None:
    if not found.blocked:
        return None
    shared: dict[tuple[str, str], list[PlannedCollision]] = defaultdict(list)
    for one in found.plan.collisions:
        if not one.later:
            shared[one.collection, one.index].append(one)
    reasons: dict[tuple[str, str], list[IndexDecision]] = defaultdict(list)
    for decision in found.blocked:
        keys = shared[decision.collection, decision.spec.name]
        hindered = keys and all(key.in_no_workspace for key in keys)
        reasons[HINDERED if hindered else BLOCKED[decision.action]].append(decision)

    def why(decision: IndexDecision) -> Iterable[str]:
        keys = shared[decision.collection, decision.spec.name]
        told = f"{decision.collection}.{decision.spec.name}: {decision.reason}"
        return map(_sharing, keys) if keys else [told]

    groups = tuple(
        Group(
            words,
            len(decisions),
            Counter(f"{one.collection}.{one.spec.name}" for one in decisions),
            cure,
            tone=_ACTION_TONES[decisions[0].action],
            ids=list(chain.from_iterable(map(why, decisions))),
        )
        for (words, cure), decisions in reasons.items()
    )
    return Section(
        f"Indexes that cannot be built: {len(found.blocked):,}",
        (Groups("Indexes that cannot be built, by reason", "reason", groups, examples=False),),
    )


def _shared_later(plan: Plan) -> Section | None:
    keys = [key for key in plan.collisions if key.later]
    if not keys:
        return None
    where = Counter(key.collection for key in keys)
    group = Group(
        "shared later", len(keys), where, cure=SHARED_LATER_CURE, ids=Each(keys, _sharing)
    )
    title = "Unique keys that documents share once the application has added what they lack"
    return Section(f"{title}: {len(keys):,}", (Groups(title, "reason", (group,), examples=False),))


def _sharing(key: PlannedCollision) -> str:
    """The documents that share a key, and the quarantined users they belong to."""
    by_user: dict[str, list[str]] = defaultdict(list)
    for identifier, user in key.documents:
        by_user["" if user is None else shown_id(user)].append(shown_id(identifier))
    named = "; ".join(
        " and ".join(filter(None, [", ".join(ids[:-1]), ids[-1]]))
        + (f" of the quarantined user {user}" if user else "")
        for user, ids in by_user.items()
    )
    among = "" if key.count == len(key.documents) else ", among them"
    return f"{key.collection}.{key.index}: {counted(key.count, 'document')}{among} {named}"


def _indexes(found: _Found) -> Section | None:
    if not found.indexes:
        return None
    counts = Counter(decision.action for decision in found.indexes)

    def words(action: IndexAction) -> str:
        return "created" if found.done and action is IndexAction.CREATE else INDEX_ACTIONS[action]

    parts = tuple(
        Part(words(action), counts[action], _ACTION_TONES[action])
        for action in IndexAction
        if counts[action]
    )
    tables = table_of(
        "Indexes, one by one",
        ("index", "collection", "what happens"),
        found.indexes,
        lambda d: (d.spec.name, d.collection, Badge(d.action.value, _ACTION_TONES[d.action])),
    )
    return Section("Indexes", (Bar(parts), *tables), detail=True)


# -- what is worth knowing --------------------------------------------------------------------


def _following(plan: Plan) -> Section | None:
    users = [finding.id for finding in plan.findings if finding.code == FOLLOWS_MEMBERSHIP]
    if not users:
        return None
    group = Group(
        FOLLOWS_MEMBERSHIP,
        len(users),
        {},
        finding_in_words(FOLLOWS_MEMBERSHIP),
        ids=Each(
            users,
            lambda user: f"user {shown_id(user)} to organization {plan.workspaces.of_user(user)}",
        ),
    )
    return Section(
        "Documents that go into somebody else's organization, since their user left their own: "
        f"{counted(len(users), 'user')}",
        (Groups("Users whose documents follow their membership", "finding", (group,)),),
    )


def _signing_in(findings: Sequence[Finding]) -> Iterator[Section]:
    """Users by their ids: who cannot sign in, and who was kept out and can."""
    found = {
        code: some
        for code in SIGN_IN_CURES
        if (some := [finding for finding in findings if finding.code == code])
    }
    if not found:
        return
    title = "Users who cannot sign in, or should not"
    groups = tuple(
        Group(code, len(some), _fields(some), cure=SIGN_IN_CURES[code])
        for code, some in found.items()
    )
    yield Section(
        f"{title}: {sum(map(len, found.values())):,}",
        (Groups(title, "finding", groups, examples=False),),
    )
    table = table_of(
        "Each by the document to look at",
        ("finding", "collection", "id", "what to do"),
        list(chain.from_iterable(found.values())),
        lambda f: (f.code, f.collection, shown_id(f.id), finding_in_words(f.code)),
    )
    yield Section(f"{title}, one by one", table, detail=True)


def _lasting(found: _Found) -> Section | None:
    """What is odd before a run and after it: each is a finding of a validation too."""
    groups = [
        replace(
            _of_one_kind(code, some),
            where=dict(Counter(finding.collection for finding in some).most_common()),
            cure=cure,
            tone=Tone.ODD,
        )
        for code, cure in LASTING_CURES.items()
        if (some := [finding for finding in found.findings if finding.code == code])
    ]
    if not groups:
        return None
    theirs = tuple(group for group in groups if group.where.keys() <= set(BETTER_AUTH_COLLECTIONS))
    blocks: list[Block] = []
    if own := tuple(group for group in groups if group not in theirs):
        caption = "Documents that stay as odd as they are, by kind"
        blocks.append(Groups(caption, "finding", own, examples=False))
    if theirs:
        caption = "To be corrected in Better Auth's own collections, by kind"
        blocks.append(Groups(caption, "finding", theirs, brief=True, examples=False))
    title = "Not mended by a run, and found by validate"
    return Section(f"{title}: {sum(group.count for group in groups):,}", tuple(blocks))


def _findings(found: _Found) -> Section | None:
    findings = found.findings
    codes = dict.fromkeys(finding.code for finding in findings)
    told = SIGN_IN_CURES.keys() | LASTING_CURES.keys()
    groups = [_of_one_kind(code, findings) for code in codes if code not in told]
    groups += _deferred(found.indexes)
    if not groups:
        return None
    return Section(
        f"{_WORTH_KNOWING}: {sum(group.count for group in groups):,}",
        (Groups("Findings by kind", "finding", tuple(groups), brief=True),),
        detail=len(groups) > _FEW_KINDS,
    )


def _deferred(indexes: Sequence[IndexDecision]) -> Iterator[Group]:
    """Indexes that take the place of others later; a note."""
    later = [decision for decision in indexes if decision.action is IndexAction.DEFERRED]
    if later:
        yield Group(
            "index-deferred",
            len(later),
            {f"{decision.collection}.{decision.spec.name}": 1 for decision in later},
            INDEX_DEFERRED,
            ids=[f"{one.collection}.{one.spec.name}: {one.reason}" for one in later],
            tone=Tone.PLAIN,
        )


def _of_one_kind(code: str, findings: Sequence[Finding]) -> Group:
    found = [finding for finding in findings if finding.code == code]
    return Group(
        code,
        len({(finding.collection, _subject(finding)) for finding in found}),
        _fields(found),
        finding_in_words(code),
        ids=Each(found, _place),
        tone=Tone.PLAIN,
    )


def _fields(findings: Sequence[Finding]) -> dict[str, int]:
    """The fields that findings are about, the most frequent first; else their collections."""
    where = Counter(finding.path or finding.collection for finding in findings)
    return dict(where.most_common())


def _subject(finding: Finding) -> str:
    """What a finding is about: a document by its id, else a field, else the collection."""
    if finding.id is None:
        return finding.path or finding.collection
    return shown_id(finding.id)


def _place(finding: Finding) -> str:
    identifier = "" if finding.id is None else shown_id(finding.id)
    return " ".join(filter(None, [finding.collection, identifier, finding.path]))


def _one_by_one(found: _Found) -> Section | None:
    users, emails = found.plan.users, found.emails
    if not users:
        return None
    columns: tuple[str, ...] = ("legacy user", "what becomes of them", "user id", "workspace")

    def row(line: UserLine) -> Row:
        why = "" if line.reason is None else f": {line.reason.value}"
        outcome = Badge(f"{OUTCOME_NAMES[line.outcome]}{why}", _OUTCOME_TONES[line.outcome])
        same = line.user_id is not None and line.user_id == line.legacy_id
        user = "the same" if same else _text(line.user_id)
        cells = (outcome, user, _text(line.workspace))
        name = shown_id(line.legacy_id)
        if emails is None:
            return (name, *cells)
        return (name, emails.get(str(line.legacy_id), ""), *cells)

    if emails is not None:
        columns = (columns[0], "e-mail", *columns[1:])
    table = table_of(
        "Legacy users, those who need a decision first", columns, _UrgentFirst(users), row
    )
    # Whoever was created before the interruption is there by now.
    when = ", as they were when the run went on" if found.resumed else ""
    return Section(f"Users one by one{when}", table, detail=True)


@dataclass(frozen=True, slots=True)
class _UrgentFirst:
    """Lines of users, whoever needs a person's decision first."""

    lines: Sequence[UserLine]

    def __iter__(self) -> Iterator[UserLine]:
        urgent = (Outcome.QUARANTINED, Outcome.ALIASED, Outcome.PRESENT, Outcome.CREATED)
        return chain.from_iterable(
            (line for line in self.lines if line.outcome is outcome) for outcome in urgent
        )


def _text(value: object) -> str:
    return "" if value is None else str(value)


# -- for pipelines ----------------------------------------------------------------------------


def quarantined_cases(
    counts: Mapping[tuple[str, Reason], int],
    examples: Iterable[QuarantinedDocument],
    options: MigrationOptions,
    state: State,
) -> list[Case]:
    """One case for each collection and reason."""
    sentences = reasons_under(options)
    ids: dict[tuple[str, Reason], list[str]] = {key: [] for key in counts}
    for document in examples:
        known = ids.setdefault((document.collection, document.reason), [])
        if len(known) < _EXAMPLES:
            known.append(_named(document))
    return [
        Case(
            collection,
            f"nothing is quarantined as {reason.value}",
            state,
            "quarantined",
            f"{counted(count, 'user or document', 'users or documents')} quarantined: "
            f"{sentences[reason]}",
            tuple(ids[collection, reason]),
        )
        for (collection, reason), count in counts.items()
    ]


def _cases(found: _Found) -> tuple[Case, ...]:
    plan, timings = found.plan, found.timings or {}
    looked_at = ([plan.source] if plan.users else []) + list(found.collections)
    counts = found.quarantine.counts()
    quarantined = {name for name, _ in counts}
    cases = [
        Case(name, "nothing is quarantined", seconds=timings.get(f"documents.{name}", 0.0))
        for name in looked_at
        if name not in quarantined
    ]
    cases += quarantined_cases(
        counts, found.quarantine.first(_EXAMPLES), plan.options, State.FAILED
    )
    for decision in found.indexes:
        blocked = decision.action.blocked
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


def _lines(found: _Found) -> Iterator[Mapping[str, Any]]:
    for name, summary in found.collections.items():
        yield {"type": "collection", "collection": name, **answer(summary)}
    emails = found.emails
    for line in found.plan.users:
        email = {} if emails is None else {"email": emails.get(str(line.legacy_id))}
        yield {"type": "user", **answer(line), **email}
    for document in found.quarantine:
        yield {"type": "quarantined", **answer(document)}
    for finding in with_rules(found.findings):
        yield {"type": "finding", **answer(finding)}
    for decision in found.indexes:
        yield {"type": "index", **answer(decision)}
    for collision in found.plan.collisions:
        yield {"type": "collision", **answer(collision)}
