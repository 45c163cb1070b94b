"""Whether every document has the right workspace and the right owner, asked in groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson import ObjectId

from newbi_migrate.choices import AliasOwners
from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.mapping.values import ABSENT, IdForm, read_id
from newbi_migrate.mapping.workspace import Action, Reason, Resolution
from newbi_migrate.migration.planning.documents import DocumentPlane
from newbi_migrate.migration.planning.owners import owner_of
from newbi_migrate.migration.planning.refusals import foresee_refusals
from newbi_migrate.migration.validation import rules
from newbi_migrate.migration.validation.origins import keeps_form
from newbi_migrate.migration.validation.report import Origin
from newbi_migrate.migration.validation.request import COMMENT, State, ValidationRequest
from newbi_migrate.migration.validation.rules import STRUCTURAL, rule_broken_by
from newbi_migrate.progress import NullProgress
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.collections import CollectionInfo
from newbi_migrate.store.ids import id_key
from newbi_migrate.store.runs import RunRecord, quarantined_documents, unforeseen_refusals
from newbi_migrate.store.windows import WindowGroup

__all__ = ["WorkspaceRules"]

# A document may have named a workspace of others before the run, which then left it alone.
_THERE_PERHAPS = frozenset({Reason.FOREIGN_WORKSPACE, Reason.PARENT_ELSEWHERE})
_AS_TEXT = frozenset({IdForm.HEX_STRING, IdForm.OID_OBJECT, IdForm.MALFORMED})


class WorkspaceRules:
    """The structural rules about documents of registered collections.

    Args:
        request: What is validated.
        state: Where violations go; it knows who is who.
        runs: All runs, the newest first.
        infos: The collections as they are in the database, by name.
    """

    def __init__(
        self,
        request: ValidationRequest,
        state: State,
        runs: Sequence[RunRecord],
        infos: Mapping[str, CollectionInfo],
    ) -> None:
        self._request = request
        self._database = request.database
        self._state = state
        self._runs = runs
        self._infos = infos
        self._field = request.registry.workspace_field

    async def check(self, spec: CollectionSpec) -> None:
        """The workspace and the owner of every document of a collection."""
        asked = [rule_id for rule_id in STRUCTURAL if rule_id.startswith("document.")]
        if not self._request.wants_any([*asked, rules.QUARANTINED_AS_RECORDED.id]):
            return
        plane = DocumentPlane(
            self._database,
            self._request.registry,
            self._state.workspaces,
            rewrite_owners=self._request.options.alias_owners is AliasOwners.REWRITE,
            comment=COMMENT,
        )
        if not plane.concerns(spec):
            return
        judged = _Judged(spec, self._field)
        holding = Counter({path: 0 for key in spec.unique_keys for path in key.derived})
        async for groups in count_groups(
            self._database[spec.name], plane.fields(spec), holding=holding, comment=COMMENT
        ):
            for group, resolution in await plane.decide(spec, groups):
                judged.add(group, resolution)
        self._state.documents[spec.name] = judged.documents
        self._state.holding[spec.name] = holding
        recorded = quarantined_documents(self._runs, spec.name)
        excused = _Excused(left=recorded > 0, stamps=None)
        if judged.stamps and judged.left + judged.stamps <= recorded:
            excused = replace(excused, stamps=await self._refused(spec, plane))
        left = judged.left
        origins = self._state.origins
        tells = await origins.tells() if judged.odd else False
        if judged.odd and (
            self._request.detailed or (tells and await self._needs_ids(spec, judged))
        ):
            # The groups hold an example each: their documents are read one by one only here, and
            # told of as they come, for they may be very many.
            left = 0
            async for decided in plane.decided(spec):
                broken = [pair for pair in decided if judged.is_violation(*pair)]
                for part, resolution, origin, touched in await self._by_origin(spec, broken):
                    left += self._judge(spec, part, resolution, excused, origin, touched=touched)
        else:
            for group, resolution in judged.violations:
                origin = Origin.BEFORE if tells else Origin.UNKNOWN
                self._judge(spec, group, resolution, excused, origin)
        if left > recorded > 0:
            note = f"{left} now, {recorded} recorded"
            self._state.violations.add(
                rules.QUARANTINED_AS_RECORDED,
                spec.name,
                None,
                "",
                note,
                origin=origins.once_migrated(Origin.PENDING),
                count=left - recorded,
            )

    async def _refused(self, spec: CollectionSpec, plane: DocumentPlane) -> Reason | None:
        """Why the server refuses what is still to be written; ``None`` where it does not.

        A document that it refused looks like one that nobody has tried to write. A plan tells
        them apart, but for those that it does not foresee: these are known by their number.
        """
        seen = await plane.survey(spec, NullProgress())
        info = self._infos[spec.name]
        seen, refused = await foresee_refusals(
            self._database, spec, info, plane, seen, comment=COMMENT
        )
        if seen.summary.pending > unforeseen_refusals(self._runs, spec.name):
            return None
        reasons = {reason for _, reason in refused.counts()}
        alike = len(reasons) == 1 and not seen.summary.pending
        return reasons.pop() if alike else Reason.WRITE_REFUSED

    async def _needs_ids(self, spec: CollectionSpec, judged: _Judged) -> bool:
        """Whether only its id tells if a run wrote what a document breaks a rule with."""
        if any(resolution.action is not Action.KEEP for _, resolution in judged.violations):
            return True
        return spec.owner_field in await self._state.origins.fields(spec.name)

    async def _by_origin(
        self, spec: CollectionSpec, broken: Sequence[tuple[WindowGroup, Resolution]]
    ) -> list[tuple[WindowGroup, Resolution, Origin, bool]]:
        """Tell the documents of groups in which a run wrote what their rule reads.

        The last value says whether it wrote to the documents themselves, or to their parents
        alone. The journals are asked once about all of them.
        """
        origins = self._state.origins
        if not await origins.tells():
            return [(group, resolution, Origin.UNKNOWN, False) for group, resolution in broken]
        owner = spec.owner_field or ""
        kept = [i for group, res in broken if res.action is Action.KEEP for i in group.ids]
        others = [i for group, res in broken if res.action is not Action.KEEP for i in group.ids]
        owners = await origins.written(spec.name, kept, owner)
        written = await origins.written(spec.name, others, self._field, *spec.user_fields)
        parents = await self._written_parents(spec, broken)
        found: list[tuple[WindowGroup, Resolution, Origin, bool]] = []
        for group, resolution in broken:
            by_touch: dict[bool, list[Any]] = {True: [], False: []}
            beside = _parent_of(spec, group, resolution) in parents
            holds = group.stored.get(owner, ABSENT)
            for identifier in group.ids:
                key = id_key(identifier)
                touched = key in written or (
                    key in owners and not keeps_form(owners[key], owner, holds)
                )
                by_touch[touched].append(identifier)
            for touched, ids in by_touch.items():
                if ids:
                    origin = Origin.RUN if touched or beside else Origin.BEFORE
                    part = replace(group, ids=ids, count=len(ids))
                    found.append((part, resolution, origin, touched))
        return found

    async def _written_parents(
        self, spec: CollectionSpec, broken: Sequence[tuple[WindowGroup, Resolution]]
    ) -> set[ObjectId]:
        """Those parents of documents in other workspaces that a run gave theirs."""
        named = {_parent_of(spec, group, resolution) for group, resolution in broken} - {None}
        if spec.parent is None or not named:
            return set()
        found = await self._state.origins.written(spec.parent.collection, named, self._field)
        return {parent for parent in named if parent is not None and id_key(parent) in found}

    def _judge(
        self,
        spec: CollectionSpec,
        group: WindowGroup,
        resolution: Resolution,
        excused: _Excused,
        origin: Origin,
        *,
        touched: bool = False,
    ) -> int:
        """Tell of documents; return how many of them look as if a run had quarantined them."""
        path = self._field if spec.scoped else spec.user_fields[0]
        rule = rule_broken_by(resolution)
        first, action = group.ids[0], resolution.action
        # Where a run wrote to a document, it did not quarantine it.
        left = group.count if action is Action.QUARANTINE and not touched else 0
        if left and excused.left:
            reason = resolution.reason or Reason.UNREADABLE
            self._state.add_quarantined(spec.name, path, reason, first, group.count)
            return left
        if action is Action.STAMP and not touched and excused.stamps is not None:
            self._state.add_quarantined(spec.name, path, excused.stamps, first, group.count)
            return left
        # A run that met it would have written it, or have recorded that it could not.
        owed = action is not Action.KEEP and resolution.reason not in _THERE_PERHAPS
        in_part = origin is Origin.RUN and self._state.origins.in_part
        if owed and (in_part or origin is Origin.BEFORE):
            origin = Origin.PENDING
        if rule is None:
            form = read_id(group.stored.get(spec.owner_field or path, ABSENT)).form
            rule = rules.OWNER_TYPE if form in _AS_TEXT else rules.OWNER_PRESENT
            self._name(rule, spec, group, spec.owner_field or path, origin=origin)
        elif rule is rules.OWNER_FOLLOWS:
            self._name(rule, spec, group, spec.owner_field or path, origin=origin)
        else:
            note = "" if resolution.reason is None else resolution.reason.value
            self._name(rule, spec, group, path, note, origin=origin)
        return left

    def _name(
        self,
        rule: rules.StructuralRule,
        spec: CollectionSpec,
        group: WindowGroup,
        path: str,
        note: str = "",
        *,
        origin: Origin,
    ) -> None:
        violations = self._state.violations
        if len(group.ids) == group.count:
            for identifier in group.ids:
                violations.add(rule, spec.name, identifier, path, note, origin=origin)
        else:
            first = group.ids[0]
            violations.add(rule, spec.name, first, path, note, origin=origin, count=group.count)


def _parent_of(spec: CollectionSpec, group: WindowGroup, resolution: Resolution) -> ObjectId | None:
    """The parent whose workspace documents do not share, ``None`` where that is not their fault."""
    if resolution.reason is not Reason.PARENT_ELSEWHERE or spec.parent is None:
        return None
    return read_id(group.stored.get(spec.parent.field, ABSENT)).value


@dataclass(frozen=True, slots=True)
class _Excused:
    """Which kinds of documents a run recorded as quarantined.

    Attributes:
        left: Whether those are that it could not decide about.
        stamps: Why those are that the server refused; ``None`` if none are.
    """

    left: bool
    stamps: Reason | None


class _Judged:
    """The documents of one collection that are not as they should be, counted."""

    def __init__(self, spec: CollectionSpec, workspace_field: str) -> None:
        self._owner = owner_of(spec)
        self._field = workspace_field
        self.documents = 0
        self.left = 0
        self.stamps = 0
        self.odd = False
        self.violations: list[tuple[WindowGroup, Resolution]] = []

    def add(self, group: WindowGroup, resolution: Resolution) -> None:
        self.documents += group.count
        if not self.is_violation(group, resolution):
            return
        self.odd = True
        if resolution.action is Action.QUARANTINE:
            self.left += group.count
        elif resolution.action is Action.STAMP:
            self.stamps += group.count
        self.violations.append((group, resolution))

    def is_violation(self, group: WindowGroup, resolution: Resolution) -> bool:
        """Whether documents are not as they should be."""
        if rule_broken_by(resolution) is not None:
            return True
        if self._owner is None:
            return False
        return self._owner.oddity(group.stored) is not None
