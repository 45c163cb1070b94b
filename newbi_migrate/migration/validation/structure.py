"""The structural rules beside those about documents: runs, people, references, keys, indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from newbi_migrate.documents.newbi import BETTER_AUTH_SPECS
from newbi_migrate.documents.registry import CollectionSpec, UniqueKey
from newbi_migrate.errors import UsageError
from newbi_migrate.mapping.values import ABSENT, IdForm, read_id
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.planning.index_plan import lists_in_the_way
from newbi_migrate.migration.planning.survey import source_now, survey
from newbi_migrate.migration.run.accounted import recorded_aliases
from newbi_migrate.migration.run.baseline import provable_run
from newbi_migrate.migration.validation import rules
from newbi_migrate.migration.validation.conservation import check_conservation
from newbi_migrate.migration.validation.origins import Read
from newbi_migrate.migration.validation.people import PeopleReader, Recorded
from newbi_migrate.migration.validation.people_rules import check_people
from newbi_migrate.migration.validation.report import Origin, Proof, Unchanged
from newbi_migrate.migration.validation.request import COMMENT, State, ValidationRequest
from newbi_migrate.migration.validation.rules import STRUCTURAL
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.collisions import Collision, find_collisions
from newbi_migrate.store.counting import has_any
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.indexes import IndexPlan, plan_indexes, read_indexes
from newbi_migrate.store.lease import RUNS
from newbi_migrate.store.questions import Pair, differing_companions
from newbi_migrate.store.runs import RunRecord, is_finalized, migrated_users, unfinished_run

__all__ = ["Structure"]


class Structure:
    """The structural rules, asked one kind after the other."""

    def __init__(
        self,
        request: ValidationRequest,
        state: State,
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
        others = (run for run in self._runs if run.run_id != self._request.asking)
        unfinished = unfinished_run(others)
        if under_way:
            self._state.notes.append(
                "A run is under way: what is found may be out of date already. Validate again "
                "when it is done."
            )
        if unfinished is not None:
            self._state.violations.add(
                rules.RUN_FINISHED,
                RUNS,
                unfinished.run_id,
                "state",
                unfinished.state.value,
                origin=Origin.PENDING,
            )
        elif self._newest is None:
            self._state.notes.append(
                "No migration is in place, so what one writes is missing: newbi-migrate plan "
                "shows it."
            )

    async def unchanged(self) -> None:
        """Whether every document is what it was, but for what the journals say."""
        try:
            conserved = await check_conservation(
                self._database,
                self._request.registry,
                provable_run(self._runs),
                progress=self._request.progress,
            )
        except UsageError as error:
            reason = f"{error.what} {error.next_step}"
            self._state.unchanged = Unchanged(Proof.UNPROVEN, reason=reason)
            return
        self._state.unchanged = Unchanged(
            Proof.PROVEN if conserved.holds else Proof.CHANGED,
            len(conserved.collections),
            tuple(collection.collection for collection in conserved.differing),
        )
        for collection in conserved.differing:
            note = f"{collection.verdict.value}, {collection.before} before, {collection.now} now"
            unexplained = collection.unexplained or (None,)
            for identifier in unexplained:
                self._state.violations.add(
                    rules.NOTHING_ELSE_CHANGED,
                    collection.collection,
                    identifier,
                    "",
                    note,
                    # A run's, or that of people: no journal tells.
                    origin=Origin.UNKNOWN,
                )

    async def people(self) -> None:
        """Users, accounts, organizations and members."""
        source = await self._source()
        recorded = await self._recorded()
        reader = PeopleReader(
            self._database,
            source,
            self._request.options,
            progress=self._request.progress,
            comment=COMMENT,
        )
        people, self._state.workspaces = await reader.read(recorded)
        for name, facts in (
            (source, people.decisions),
            ("user", people.users),
            ("account", people.accounts),
            ("organization", people.organizations),
            ("member", people.members),
        ):
            if name:
                self._state.documents[name] = len(facts)
        for violation in check_people(people):
            if not self._request.wants(violation.rule.id):
                continue
            origins = self._state.origins
            self._state.violations.add(
                violation.rule,
                violation.collection,
                violation.id,
                violation.path,
                violation.note,
                origin=await origins.of(*violation.reads)
                if violation.owed is None
                else origins.once_migrated(violation.owed),
            )
        for decision in people.decisions:
            if id_key(decision.legacy_id) in people.quarantined:
                reason = decision.reason or Reason.WRITE_REFUSED
                self._state.add_quarantined(source, "_id", reason, decision.legacy_id, 1)

    async def _source(self) -> str:
        named = self._request.options.legacy_collection
        if named is not None:
            found = await source_now(self._database, named, self._names, comment=COMMENT)
            # After the end of a migration the application may have made an empty one anew.
            if found is not None and not (
                is_finalized(self._runs)
                and not await has_any(self._database[found], comment=COMMENT)
            ):
                return found
        if self._newest is not None or not any(
            [
                await has_any(self._database[name], comment=COMMENT)
                for name in self._request.registry.legacy_candidates
                if name in self._names
            ]
        ):
            self._state.notes.append(
                "The legacy users are not there: whether each of them was migrated cannot be "
                "checked."
            )
            return ""
        seen = await survey(self._database, self._request.registry, source=named, comment=COMMENT)
        return seen.source

    async def _recorded(self) -> Recorded:
        quarantined: dict[bytes, str] | None = None
        migrated: set[ObjectId] = set()
        joined: set[ObjectId] = set()
        # Each run records everybody it quarantined, so the newest one knows all of them.
        for run in self._runs:
            if run.command != "migrate" or not run.stands:
                continue
            reasons = {}
            async for line in migrated_users(self._database, run.run_id):
                if line.get("reason") is not None:
                    reasons[id_key(line["_id"]["legacy"])] = line["reason"]
                if line.get("userId") is not None:
                    migrated |= {line["_id"]["legacy"], line["userId"]}
                if line.get("memberId") is not None:
                    joined.add(line["organizationId"])
            if quarantined is None:
                quarantined = reasons
        return Recorded(
            quarantined or {},
            await recorded_aliases(self._database, self._runs, comment=COMMENT),
            frozenset(migrated),
            frozenset(joined),
            self._state.origins.in_part,
        )

    # -- references ---------------------------------------------------------------------------

    async def references(self, specs: Sequence[CollectionSpec]) -> None:
        """Documents that share a workspace with another, and sessions."""
        if self._request.wants(rules.COMPANION_WORKSPACE.id):
            pairs = [
                (spec, link)
                for spec in specs
                for link in (spec.companions if spec.scoped else ())
                if spec.name in self._names and link.collection in self._names
            ]
            self._request.progress.phase("references", len(pairs))
            for spec, link in pairs:
                await self._companions(spec, link.field, link.collection)
                self._request.progress.advance(1, spec.name)
        if self._request.wants(rules.SESSION_POINTS.id) and "session" in self._names:
            await self._sessions()

    async def _companions(self, spec: CollectionSpec, path: str, other: str) -> None:
        async for pairs in differing_companions(
            self._database[spec.name], path, other, self._field, comment=COMMENT
        ):
            for pair, origin in await self._by_origin(spec.name, other, pairs):
                self._state.violations.add(
                    rules.COMPANION_WORKSPACE,
                    spec.name,
                    pair.id,
                    path,
                    f"see {other}",
                    origin=origin,
                )

    async def _by_origin(
        self, name: str, other: str, pairs: Sequence[Pair]
    ) -> list[tuple[Pair, Origin]]:
        origins = self._state.origins
        if not await origins.tells():
            return [(pair, Origin.UNKNOWN) for pair in pairs]
        path = self._field
        mine = await origins.written(name, (pair.id for pair in pairs), path)
        its = await origins.written(other, (pair.companion for pair in pairs), path)
        found = []
        for pair in pairs:
            one, two = mine.get(id_key(pair.id)), its.get(id_key(pair.companion))
            # Each still has the workspace that its owner gave it, and the owners differed before.
            apart = (_as_text(one, path), _as_text(two, path)) == (pair.holds, pair.companion_holds)
            before = apart or (one is None and two is None)
            found.append((pair, Origin.BEFORE if before else Origin.RUN))
        return found

    async def _sessions(self) -> None:
        name = "activeOrganizationId"
        organizations = self._state.workspaces.organizations
        async for groups in count_groups(self._database["session"], [name], comment=COMMENT):
            for group in groups:
                named = read_id(group.stored.get(name, ABSENT))
                if named.form in (IdForm.MISSING, IdForm.NULL) or named.value in organizations:
                    continue
                organization = Read("organization", named.value)
                self._state.violations.add(
                    rules.SESSION_POINTS,
                    "session",
                    group.ids[0],
                    name,
                    origin=await self._state.origins.of(organization),
                    count=group.count,
                )

    # -- keys and indexes ---------------------------------------------------------------------

    async def indexes(self, specs: Sequence[CollectionSpec]) -> None:
        """Unique keys and indexes."""
        asked = [rule for rule in STRUCTURAL if rule.startswith(("index.", "key."))]
        if not self._request.wants_any(asked):
            return
        asked_of = [
            spec
            for spec in (*(spec for spec in specs if spec.scoped), *BETTER_AUTH_SPECS)
            if spec.name in self._names
        ]
        self._request.progress.phase("indexes of collections", len(asked_of))
        for spec in asked_of:
            planned = plan_indexes(await read_indexes(self._database, spec.name), spec)
            collided = await self._keys(spec, planned)
            violations, origins = self._state.violations, self._state.origins
            before = origins.once_migrated(Origin.BEFORE)
            ours = origins.went_through(spec.name)
            missing = origins.once_migrated(Origin.RUN if ours else Origin.PENDING)
            for index in planned.to_create:
                if index.name in collided:
                    continue
                lists = ""
                if missing is not before:
                    # No run writes a list there. It is asked where it decides something, for it
                    # reads the collection: before a migration nearly every index is missing.
                    lists = await lists_in_the_way(
                        self._database[spec.name],
                        index,
                        workspace_field=self._field,
                        workspace=f"${self._field}",
                        comment=COMMENT,
                    )
                note = f"{index.name}: {lists}" if lists else index.name
                origin = before if lists else missing
                violations.add(rules.INDEX_PRESENT, spec.name, None, "", note, origin=origin)
            for index, reason in planned.conflicts:
                note = f"{index.name}: {reason}"
                violations.add(rules.INDEX_CONFLICT, spec.name, None, "", note, origin=before)
            for index in planned.obsolete_present:
                violations.add(rules.INDEX_OBSOLETE, spec.name, None, "", index.name, origin=before)
            self._request.progress.advance(1, spec.name)

    async def _keys(self, spec: CollectionSpec, planned: IndexPlan) -> set[str]:
        """Find documents that share a key; return the names of the indexes they hinder."""
        hindered: set[str] = set()
        for key in spec.unique_keys:
            if key.index in planned.present and not self._may_collide_later(spec, key):
                continue
            now, later = await find_collisions(
                self._database[spec.name],
                key,
                workspace_field=self._field,
                owner_field=spec.owner_field or "_id",
                comment=COMMENT,
            )
            if now:
                hindered.add(key.index.name)
            held, left = await self._with_a_workspace(spec, key, now)
            of_one_owner = await self._of_one_owner(spec, key) if held else ()
            for rule, collisions in (
                (rules.KEY_HOLDS, held),
                (rules.KEY_HINDERED, left),
                # Before a migration documents of everybody are in no workspace.
                (rules.KEY_WILL_HOLD, later if self._newest is not None else ()),
            ):
                for collision in collisions:
                    self._state.violations.add(
                        rule,
                        spec.name,
                        collision.ids[0],
                        "",
                        f"{key.index.name}: {collision.count} documents, the last "
                        f"{collision.ids[-1]}",
                        origin=await self._origin_of(spec, key, collision, of_one_owner),
                    )
        return hindered

    async def _with_a_workspace(
        self, spec: CollectionSpec, key: UniqueKey, now: tuple[Collision, ...]
    ) -> tuple[tuple[Collision, ...], tuple[Collision, ...]]:
        """Tell collisions within a workspace from those of documents that have none."""
        if not now or all(path != self._field for path, _ in key.index.keys):
            return now, ()
        held, _ = await find_collisions(
            self._database[spec.name],
            key,
            workspace_field=self._field,
            owner_field=spec.owner_field or "_id",
            comment=COMMENT,
            among={self._field: {"$nin": [None, ""]}},
        )
        return held, tuple(collision for collision in now if collision not in held)

    async def _of_one_owner(self, spec: CollectionSpec, key: UniqueKey) -> tuple[Collision, ...]:
        """Documents that share a key with another of the same owner, as they did before."""
        owner = spec.owner_field
        if owner is None or all(path != self._field for path, _ in key.index.keys):
            return ()
        as_text = {"input": f"${owner}", "to": "string", "onError": None, "onNull": None}
        shared, _ = await find_collisions(
            self._database[spec.name],
            key,
            workspace_field=self._field,
            comment=COMMENT,
            workspace={"$convert": as_text},
            among={self._field: {"$nin": [None, ""]}, owner: {"$exists": True}},
        )
        return shared

    async def _origin_of(
        self,
        spec: CollectionSpec,
        key: UniqueKey,
        collision: Collision,
        of_one_owner: Sequence[Collision],
    ) -> Origin:
        origins, owner = self._state.origins, spec.owner_field
        if not await origins.tells():
            return Origin.UNKNOWN
        # A run that built the index has seen that no documents shared the key.
        shared = collision in of_one_owner and not origins.built(spec.name, key.index.name)
        if shared and owner not in await origins.fields(spec.name):
            return Origin.BEFORE
        ids = collision.every_id
        if ids is None:
            return Origin.UNKNOWN
        paths = [path for path, _ in key.index.keys]
        if not await origins.written(spec.name, ids, *paths):
            return Origin.BEFORE
        rewritten = owner and await origins.written(spec.name, ids, owner)
        return Origin.BEFORE if shared and not rewritten else Origin.RUN

    def _may_collide_later(self, spec: CollectionSpec, key: UniqueKey) -> bool:
        # The index holds for the documents as they are. They can collide later only if some of
        # them have the field that others are going to get.
        if not key.derived or not self._request.wants(rules.KEY_WILL_HOLD.id):
            return False
        holding = self._state.holding.get(spec.name)
        if holding is None:
            # Their workspaces were not asked about.
            return True
        total = self._state.documents[spec.name]
        having = [holding[path] for path in key.derived]
        return any(having) and min(having) < total


def _as_text(written: Mapping[str, Any] | None, path: str) -> str | None:
    """The id that a run wrote, as text; ``None`` if it wrote none."""
    meant = read_id((written or {}).get(path)).value
    return None if meant is None else str(meant)
