"""Validating: every rule asked of a database, with what is broken, where, and what to do.

Structural rules are decided on groups of documents that the server counts, so that a million
documents cost one pass; rules of the models are asked in
:mod:`newbi_migrate.migration.validate_models`. Sends no write command. It changes when another
kind of rule is asked.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from newbi_migrate.errors import UsageError
from newbi_migrate.invariants import structural as rules
from newbi_migrate.invariants.base import Severity
from newbi_migrate.invariants.structural import STRUCTURAL, check_people, key_of, rule_broken_by
from newbi_migrate.mapping.values import ABSENT, IdForm, read_id
from newbi_migrate.mapping.workspace import Action, Directory, Reason, Resolution
from newbi_migrate.migration.documents import DocumentPlane
from newbi_migrate.migration.indexes import find_collisions
from newbi_migrate.migration.options import AliasOwners, MigrationOptions
from newbi_migrate.migration.people import PeopleReader, Recorded
from newbi_migrate.migration.plan import chosen_collections
from newbi_migrate.migration.progress import Progress, Silent
from newbi_migrate.migration.results import QuarantinedDocument
from newbi_migrate.migration.survey import survey
from newbi_migrate.migration.validation import (
    EXAMPLES,
    FailOn,
    Finding,
    RuleResult,
    ValidationReport,
)
from newbi_migrate.models.base import fields_of
from newbi_migrate.models.newbi import BETTER_AUTH_INDEXES
from newbi_migrate.models.registry import CollectionSpec, Registry, UniqueKey
from newbi_migrate.models.rules import Leaf, Nullable
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.decoding import LENIENT
from newbi_migrate.store.indexes import IndexPlan, plan_indexes, read_indexes
from newbi_migrate.store.lease import Lease
from newbi_migrate.store.runs import RunRecord, RunRecords, RunState
from newbi_migrate.store.windows import WindowGroup

__all__ = ["ValidationRequest", "validate"]

_COMMENT: Final = "newbi-migrate validate"
_OWNER_RULES: Final = frozenset({"field.owner-id", "field.object-id"})
_AS_TEXT: Final = frozenset({IdForm.HEX_STRING, IdForm.OID_OBJECT, IdForm.MALFORMED})


class Asked(Protocol):
    """A rule as findings tell of it."""

    @property
    def id(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def next_step(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ValidationRequest:
    """What to validate, and how.

    Attributes:
        database: Where.
        registry: Its collections.
        options: The choices; those a run recorded take their place where nothing was chosen.
        only: Ids of rules, with ``*`` for any characters; empty for all.
        sample: Ask the rules of the models of so many documents of each collection, drawn at
            random; ``None`` for all documents.
        fail_on: From which severity on a finding fails the validation.
        detailed: Find every violation, not examples alone.
        on_finding: Told of each finding as it is found.
        progress: Told of what is going on.
    """

    database: AsyncDatabase[dict[str, Any]]
    registry: Registry
    options: MigrationOptions = field(default_factory=MigrationOptions)
    only: tuple[str, ...] = ()
    sample: int | None = None
    fail_on: FailOn = FailOn.CRITICAL
    detailed: bool = False
    on_finding: Callable[[Finding], None] | None = None
    progress: Progress = field(default_factory=Silent)

    def wants(self, rule_id: str) -> bool:
        """Whether a rule is to be checked."""
        return not self.only or any(fnmatchcase(rule_id, pattern) for pattern in self.only)

    def wants_any(self, rule_ids: Iterable[str]) -> bool:
        """Whether any of some rules is."""
        return any(map(self.wants, rule_ids))


class Collector:
    """Gathers violations: all are counted, the first few of each rule are kept."""

    def __init__(self, request: ValidationRequest) -> None:
        self._request = request
        self._results: dict[tuple[str, str], RuleResult] = {}

    def add(
        self,
        rule: Asked,
        collection: str,
        identifier: Any = None,
        path: str = "",
        note: str = "",
        *,
        count: int = 1,
    ) -> None:
        """Counts violations of a rule, of which one is named."""
        if not self._request.wants(rule.id):
            return
        result = self._results.get((rule.id, collection))
        if result is None:
            result = RuleResult(rule.id, rule.sentence, rule.severity, rule.next_step, collection)
            self._results[rule.id, collection] = result
        result.violations += count
        finding = Finding(rule.id, rule.severity, collection, identifier, path, note)
        if self._request.on_finding is not None:
            self._request.on_finding(finding)
        if len(result.examples) < EXAMPLES:
            result.examples.append(finding)

    def count(self, rule: Asked, collection: str, number: int, first: Any) -> None:
        """Corrects a count, where the server counted all after some were named."""
        if (rule.id, collection) not in self._results:
            self.add(rule, collection, first)
        self._results[rule.id, collection].violations = number

    def results(self) -> tuple[RuleResult, ...]:
        """The rules that are broken, the worst first."""
        order = list(Severity)
        return tuple(sorted(self._results.values(), key=lambda r: order.index(r.severity)))


@dataclass(slots=True)
class _State:
    findings: Collector
    documents: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, Counter[Reason]] = field(default_factory=lambda: defaultdict(Counter))
    examples: list[QuarantinedDocument] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    directory: Directory = field(default_factory=Directory)

    def leave_out(
        self, collection: str, path: str, reason: Reason, identifier: Any, count: int
    ) -> None:
        self.left_out[collection][reason] += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(QuarantinedDocument(collection, identifier, path, reason))

    @asynccontextmanager
    async def timed(self, phase: str) -> AsyncIterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.timings[phase] = round(time.perf_counter() - begun, 3)


async def validate(request: ValidationRequest) -> ValidationReport:
    """Asks every rule of a database. Sends no write command and needs no lease.

    Raises:
        UsageError: No rule has one of the ids in ``only``, or two collections hold legacy users.
    """
    from newbi_migrate.migration.validate_models import ModelRules

    database = request.database
    runs = await RunRecords(database).all()
    lease = await Lease.current(database)
    newest = next((run for run in runs if _stands(run) and run.command in _FORWARD), None)
    names = [
        info["name"]
        async for info in await database.list_collections(comment=_COMMENT)
        if info.get("type", "collection") == "collection"
    ]
    state = _State(Collector(request))
    request = replace(request, options=_choices(request.options, newest))
    specs = chosen_collections(request.registry, request.options)
    present = [spec for spec in specs if spec.name in names]
    owners = {spec.name: owner.name for spec in present if (owner := _owner_of(spec)) is not None}
    models = ModelRules(request, present, names, owners, _COMMENT)
    known = [*STRUCTURAL, *models.ids()]
    _refuse_unknown(request.only, known)
    check = _Structure(request, state, names, runs, newest)
    check.runs(under_way=lease is not None and lease.held)
    async with state.timed("people"):
        await check.people()
    async with state.timed("documents"):
        for spec in specs:
            if spec.name in names:
                await check.documents(spec)
    async with state.timed("references"):
        await check.references(specs)
    async with state.timed("indexes"):
        await check.indexes(specs)
    async with state.timed("models"):
        await models.check(state.findings)
    return ValidationReport(
        database=database.name,
        run_id=None if newest is None else newest.run_id,
        under_way=lease is not None and lease.held,
        checked=sum(map(request.wants, known)),
        documents=state.documents,
        results=state.findings.results(),
        left_out=dict(state.left_out),
        left_out_examples=tuple(state.examples),
        sampled=request.sample,
        notes=tuple(state.notes),
        timings=state.timings,
        fail_on=request.fail_on,
    )


_FORWARD: Final = ("migrate", "backfill")


def _stands(run: RunRecord) -> bool:
    """Whether a run came to its end and what it wrote is there."""
    return run.state not in (RunState.RUNNING, RunState.ROLLING_BACK, RunState.ROLLED_BACK)


def _choices(options: MigrationOptions, run: RunRecord | None) -> MigrationOptions:
    """The choices a run was made with, where nothing else was asked for."""
    if run is None:
        return options
    recorded = MigrationOptions.from_policy(
        run.policy, batch_size=options.batch_size, workers=options.workers
    )
    return replace(
        recorded,
        legacy_collection=options.legacy_collection or recorded.legacy_collection,
        collections=options.collections,
        schema_day=options.schema_day or recorded.schema_day,
    )


def _refuse_unknown(only: Sequence[str], known: Sequence[str]) -> None:
    for pattern in only:
        if not any(fnmatchcase(rule_id, pattern) for rule_id in known):
            raise UsageError(
                f"No rule has the id {pattern!r}.",
                next_step="The ids are listed in docs/reference/invariants.md; * stands for any "
                "characters, as in --only 'document.*'.",
            )


class _Structure:
    """The structural rules, asked one kind after the other."""

    def __init__(
        self,
        request: ValidationRequest,
        state: _State,
        names: Sequence[str],
        runs: Sequence[RunRecord],
        newest: RunRecord | None,
    ) -> None:
        self._request = request
        self._database = request.database
        self._state = state
        self._names = frozenset(names)
        self._runs = runs
        self._newest = newest
        self._field = request.registry.workspace_field

    # -- runs and people ----------------------------------------------------------------------

    def runs(self, *, under_way: bool) -> None:
        """Whether a run is unfinished."""
        unfinished = next((run for run in self._runs if run.state.unfinished), None)
        if under_way:
            self._state.notes.append(
                "A run is under way: what is found may be out of date already. Validate again "
                "when it is done."
            )
        if unfinished is not None:
            self._state.findings.add(
                rules.RUN_FINISHED,
                "newbi_migrate_runs",
                unfinished.run_id,
                "state",
                unfinished.state.value,
            )
        elif self._newest is None:
            self._state.notes.append("No migration is recorded, or all were rolled back.")

    async def people(self) -> None:
        """Users, accounts, organizations and members."""
        self._request.progress.phase("validate users", None)
        source = await self._source()
        recorded = await self._recorded()
        reader = PeopleReader(self._database, source, self._request.options, comment=_COMMENT)
        people, self._state.directory = await reader.read(recorded)
        for name, facts in (
            (source, people.decisions),
            ("user", people.users),
            ("account", people.accounts),
            ("organization", people.organizations),
            ("member", people.members),
        ):
            if name:
                self._state.documents[name] = len(facts)
        for offence in check_people(people):
            self._state.findings.add(
                offence.rule, offence.collection, offence.id, offence.path, offence.note
            )
        for decision in people.decisions:
            if key_of(decision.legacy_id) in people.left_out:
                reason = decision.reason or Reason.WRITE_REFUSED
                self._state.leave_out(source, "_id", reason, decision.legacy_id, 1)

    async def _source(self) -> str:
        named = self._request.options.legacy_collection
        if named in self._names:
            return str(named)
        if self._newest is not None or not any(
            [
                await self._database[name].find_one({}, {"_id": 1}, comment=_COMMENT)
                for name in self._request.registry.legacy_candidates
                if name in self._names
            ]
        ):
            self._state.notes.append(
                "The legacy users are not there: whether each of them was migrated cannot be "
                "checked."
            )
            return ""
        found = await survey(self._database, self._request.registry, source=named, comment=_COMMENT)
        return found.source

    async def _recorded(self) -> Recorded:
        left_out: frozenset[bytes] | None = None
        aliases: dict[ObjectId, ObjectId] = {}
        records = RunRecords(self._database)
        # Each run records everybody it left out, so the newest one knows all of them.
        for run in self._runs:
            if run.command != "migrate" or not _stands(run):
                continue
            keys = set()
            async for line in records.users(run.run_id):
                if line.get("reason") is not None:
                    keys.add(key_of(line["legacyUserId"]))
                elif line.get("outcome") == "aliased":
                    aliases.setdefault(line["legacyUserId"], line["userId"])
            if left_out is None:
                left_out = frozenset(keys)
        return Recorded(left_out or frozenset(), aliases)

    # -- documents ----------------------------------------------------------------------------

    async def documents(self, spec: CollectionSpec) -> None:
        """The workspace and the owner of every document of a collection."""
        asked = [rule_id for rule_id in STRUCTURAL if rule_id.startswith("document.")]
        if not self._request.wants_any([*asked, rules.LEFT_OUT_AS_RECORDED.id]):
            return
        plane = DocumentPlane(
            self._database,
            self._request.registry,
            self._state.directory,
            rewrite_owners=self._request.options.alias_owners is AliasOwners.REWRITE,
            comment=_COMMENT,
        )
        if not plane.concerns(spec):
            return
        self._request.progress.phase(f"validate {spec.name}", None)
        judged = _Judged(spec, self._field)
        async for groups in count_groups(
            self._database[spec.name], plane.fields(spec), comment=_COMMENT
        ):
            for group, resolution in await plane.decide(spec, groups):
                judged.add(group, resolution)
        self._state.documents[spec.name] = judged.documents
        self._request.progress.advance(judged.documents, spec.name)
        recorded = self._recorded_of(spec.name)
        excused = judged.excused(recorded)
        if self._request.detailed and judged.odd:
            # The groups hold an example each: their documents are read one by one only here.
            judged.offences = [
                (group, resolution)
                async for group, resolution in plane.decided(spec)
                if judged.is_offence(group, resolution)
            ]
        for group, resolution in judged.offences:
            self._judge(spec, group, resolution, excused)
        if judged.left > recorded > 0:
            note = f"{judged.left} now, {recorded} recorded"
            self._state.findings.add(
                rules.LEFT_OUT_AS_RECORDED, spec.name, None, "", note, count=judged.left - recorded
            )

    def _judge(
        self, spec: CollectionSpec, group: WindowGroup, resolution: Resolution, excused: _Excused
    ) -> None:
        path = self._field if spec.scoped else spec.user_fields[0]
        rule = rule_broken_by(resolution)
        first = group.ids[0]
        if resolution.action is Action.QUARANTINE and excused.left:
            reason = resolution.reason or Reason.UNREADABLE
            self._state.leave_out(spec.name, path, reason, first, group.count)
        elif resolution.action is Action.STAMP and excused.stamps:
            self._state.leave_out(spec.name, path, Reason.WRITE_REFUSED, first, group.count)
        elif rule is None or rule is rules.OWNER_FOLLOWS:
            owner = spec.owner_field or path
            self._name(rule or rules.OWNER_TYPE, spec, group, owner)
        else:
            note = "" if resolution.reason is None else resolution.reason.value
            self._name(rule, spec, group, path, note)

    def _name(
        self,
        rule: rules.StructuralRule,
        spec: CollectionSpec,
        group: WindowGroup,
        path: str,
        note: str = "",
    ) -> None:
        if len(group.ids) == group.count:
            for identifier in group.ids:
                self._state.findings.add(rule, spec.name, identifier, path, note)
        else:
            self._state.findings.add(rule, spec.name, group.ids[0], path, note, count=group.count)

    def _recorded_of(self, name: str) -> int:
        for run in self._runs:
            if _stands(run):
                summary = (run.document.get("collections") or {}).get(name)
                if summary is not None:
                    return int(summary.get("quarantined", 0))
        return 0

    # -- references ---------------------------------------------------------------------------

    async def references(self, specs: Sequence[CollectionSpec]) -> None:
        """Documents that share a workspace with another, and sessions."""
        if self._request.wants(rules.COMPANION_WORKSPACE.id):
            for spec in specs:
                for link in spec.companions if spec.scoped else ():
                    if spec.name in self._names and link.collection in self._names:
                        await self._companions(spec, link.field, link.collection)
        if self._request.wants(rules.SESSION_POINTS.id) and "session" in self._names:
            await self._sessions()

    async def _companions(self, spec: CollectionSpec, path: str, other: str) -> None:
        def as_text(value: Any) -> dict[str, Any]:
            return {"$convert": {"input": value, "to": "string", "onError": None, "onNull": None}}

        pipeline: list[dict[str, Any]] = [
            {"$match": {path: {"$type": "objectId"}}},
            {"$project": {path: 1, self._field: 1}},
            {
                "$lookup": {
                    "from": other,
                    "localField": path,
                    "foreignField": "_id",
                    "as": "companion",
                }
            },
            {
                "$project": {
                    "mine": as_text(f"${self._field}"),
                    "its": as_text({"$first": f"$companion.{self._field}"}),
                }
            },
            {
                "$match": {
                    "mine": {"$ne": None},
                    "its": {"$ne": None},
                    "$expr": {"$ne": ["$mine", "$its"]},
                }
            },
            {"$project": {"_id": 1}},
        ]
        cursor = await self._database.get_collection(spec.name, codec_options=LENIENT).aggregate(
            pipeline, allowDiskUse=True, collation={"locale": "simple"}, comment=_COMMENT
        )
        async with cursor:
            async for found in cursor:
                self._state.findings.add(
                    rules.COMPANION_WORKSPACE, spec.name, found["_id"], path, f"see {other}"
                )

    async def _sessions(self) -> None:
        name = "activeOrganizationId"
        organizations = self._state.directory.organizations
        async for groups in count_groups(self._database["session"], [name], comment=_COMMENT):
            for group in groups:
                named = read_id(group.stored.get(name, ABSENT))
                if named.form in (IdForm.MISSING, IdForm.NULL) or named.value in organizations:
                    continue
                self._state.findings.add(
                    rules.SESSION_POINTS, "session", group.ids[0], name, count=group.count
                )

    # -- keys and indexes ---------------------------------------------------------------------

    async def indexes(self, specs: Sequence[CollectionSpec]) -> None:
        """Unique keys and indexes."""
        asked = [rule for rule in STRUCTURAL if rule.startswith(("index.", "key."))]
        if not self._request.wants_any(asked):
            return
        self._request.progress.phase("validate indexes", None)
        for spec in [*specs, *_better_auth()]:
            if spec.name not in self._names or not (spec.scoped or spec.name in _BETTER_AUTH):
                continue
            planned = plan_indexes(await read_indexes(self._database, spec.name), spec)
            collided = await self._keys(spec, planned)
            findings = self._state.findings
            for index in planned.to_create:
                if index.name not in collided:
                    findings.add(rules.INDEX_PRESENT, spec.name, None, "", index.name)
            for index, reason in planned.conflicts:
                findings.add(rules.INDEX_CONFLICT, spec.name, None, "", f"{index.name}: {reason}")
            for index in planned.obsolete_present:
                findings.add(rules.INDEX_OBSOLETE, spec.name, None, "", index.name)

    async def _keys(self, spec: CollectionSpec, planned: IndexPlan) -> set[str]:
        """Finds documents that share a key; gives the names of the indexes they hinder."""
        hindered: set[str] = set()
        for key in spec.unique_keys:
            if key.index in planned.present and not await self._may_collide_later(spec, key):
                continue
            now, later = await find_collisions(
                self._database[spec.name],
                key,
                workspace_field=self._field,
                comment=_COMMENT,
            )
            for rule, collisions in ((rules.KEY_HOLDS, now), (rules.KEY_WILL_HOLD, later)):
                for collision in collisions:
                    self._state.findings.add(
                        rule,
                        spec.name,
                        collision.ids[0],
                        "",
                        f"{key.index.name}: {collision.count} documents, the last "
                        f"{collision.ids[-1]}",
                    )
            if now:
                hindered.add(key.index.name)
        return hindered

    async def _may_collide_later(self, spec: CollectionSpec, key: UniqueKey) -> bool:
        # The index holds for the documents as they are. They can collide later only if some of
        # them have the field that others are going to get.
        if not key.derived or not self._request.wants(rules.KEY_WILL_HOLD.id):
            return False
        some = {"$or": [{path: {"$exists": True}} for path in key.derived]}
        lacking = {"$or": [{path: {"$exists": False}} for path in key.derived]}
        for query in (some, lacking):
            if not await self._database[spec.name].find_one(query, {"_id": 1}, comment=_COMMENT):
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Excused:
    """Which kinds of documents a run recorded as left out."""

    left: bool
    stamps: bool


class _Judged:
    """The documents of one collection that are not as they should be, counted."""

    def __init__(self, spec: CollectionSpec, workspace_field: str) -> None:
        self._owner = _owner_of(spec)
        self._field = workspace_field
        self.documents = 0
        self.left = 0
        self.stamps = 0
        self.odd = False
        self.offences: list[tuple[WindowGroup, Resolution]] = []

    def add(self, group: WindowGroup, resolution: Resolution) -> None:
        self.documents += group.count
        if not self.is_offence(group, resolution):
            return
        self.odd = True
        if resolution.action is Action.QUARANTINE:
            self.left += group.count
        elif resolution.action is Action.STAMP:
            self.stamps += group.count
        self.offences.append((group, resolution))

    def is_offence(self, group: WindowGroup, resolution: Resolution) -> bool:
        """Whether documents are not as they should be."""
        if rule_broken_by(resolution) is not None:
            return True
        if self._owner is None:
            return False
        form = read_id(group.stored.get(self._owner.name, ABSENT)).form
        return form in _AS_TEXT or (self._owner.required and form in (IdForm.MISSING, IdForm.NULL))

    def excused(self, recorded: int) -> _Excused:
        """What may be as it is, because a run left as many documents out.

        A document the server refused to let a run write looks like one that nobody has tried to
        write; only where the numbers are the same is it taken for one of those.
        """
        if self.left + self.stamps == recorded:
            return _Excused(left=True, stamps=True)
        return _Excused(left=recorded > 0, stamps=False)


@dataclass(frozen=True, slots=True)
class _Owner:
    name: str
    required: bool


def _owner_of(spec: CollectionSpec) -> _Owner | None:
    """The owner field, where the model says that it is an ObjectId."""
    if spec.owner_field is None or spec.model is None or not spec.scoped:
        return None
    shape = fields_of(spec.model).get(spec.owner_field)
    if shape is None:
        return None
    value = shape.value.inner if isinstance(shape.value, Nullable) else shape.value
    if isinstance(value, Leaf) and value.rule.id in _OWNER_RULES:
        return _Owner(spec.owner_field, shape.required)
    return None


_BETTER_AUTH: Final = frozenset(BETTER_AUTH_INDEXES)


def _better_auth() -> list[CollectionSpec]:
    return [
        CollectionSpec(
            name,
            None,
            None,
            unique_keys=tuple(UniqueKey(i) for i in indexes if i.unique),
            indexes=tuple(i for i in indexes if not i.unique),
        )
        for name, indexes in BETTER_AUTH_INDEXES.items()
    ]
