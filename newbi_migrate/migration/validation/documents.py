"""Whether every document has the right workspace and the right owner, asked in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.documents.shapes import Leaf, fields_of, without_null
from newbi_migrate.mapping.values import ABSENT, IdForm, read_id
from newbi_migrate.mapping.workspace import Action, Reason, Resolution
from newbi_migrate.migration.planning.documents import DocumentPlane
from newbi_migrate.migration.planning.options import AliasOwners
from newbi_migrate.migration.validation import rules
from newbi_migrate.migration.validation.request import COMMENT, State, ValidationRequest
from newbi_migrate.migration.validation.rules import STRUCTURAL, rule_broken_by
from newbi_migrate.store.census import count_groups
from newbi_migrate.store.runs import RunRecord, quarantined_documents
from newbi_migrate.store.windows import WindowGroup

__all__ = ["DocumentRules", "owner_of"]

_OWNER_RULES = frozenset({"field.owner-id", "field.object-id"})
_AS_TEXT = frozenset({IdForm.HEX_STRING, IdForm.OID_OBJECT, IdForm.MALFORMED})


class DocumentRules:
    """The structural rules about documents of registered collections.

    Args:
        request: What is validated.
        state: Where findings go; it knows who is who.
        runs: All runs, the newest first.
    """

    def __init__(self, request: ValidationRequest, state: State, runs: Sequence[RunRecord]) -> None:
        self._request = request
        self._database = request.database
        self._state = state
        self._runs = runs
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
        async for groups in count_groups(
            self._database[spec.name], plane.fields(spec), comment=COMMENT
        ):
            for group, resolution in await plane.decide(spec, groups):
                judged.add(group, resolution)
        self._state.documents[spec.name] = judged.documents
        recorded = quarantined_documents(self._runs, spec.name)
        excused = judged.excused(recorded)
        if self._request.detailed and judged.odd:
            # The groups hold an example each: their documents are read one by one only here, and
            # told of as they come, for they may be very many.
            async for group, resolution in plane.decided(spec):
                if judged.is_offence(group, resolution):
                    self._judge(spec, group, resolution, excused)
        else:
            for group, resolution in judged.offences:
                self._judge(spec, group, resolution, excused)
        if judged.left > recorded > 0:
            note = f"{judged.left} now, {recorded} recorded"
            self._state.findings.add(
                rules.QUARANTINED_AS_RECORDED,
                spec.name,
                None,
                "",
                note,
                count=judged.left - recorded,
            )

    def _judge(
        self, spec: CollectionSpec, group: WindowGroup, resolution: Resolution, excused: _Excused
    ) -> None:
        path = self._field if spec.scoped else spec.user_fields[0]
        rule = rule_broken_by(resolution)
        first = group.ids[0]
        if resolution.action is Action.QUARANTINE and excused.left:
            reason = resolution.reason or Reason.UNREADABLE
            self._state.add_quarantined(spec.name, path, reason, first, group.count)
        elif resolution.action is Action.STAMP and excused.stamps:
            self._state.add_quarantined(spec.name, path, Reason.WRITE_REFUSED, first, group.count)
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


@dataclass(frozen=True, slots=True)
class _Excused:
    """Which kinds of documents a run recorded as quarantined."""

    left: bool
    stamps: bool


class _Judged:
    """The documents of one collection that are not as they should be, counted."""

    def __init__(self, spec: CollectionSpec, workspace_field: str) -> None:
        self._owner = owner_of(spec)
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
class Owner:
    """An owner field that is to hold an ObjectId."""

    name: str
    required: bool


def owner_of(spec: CollectionSpec) -> Owner | None:
    """The owner field, where the model says that it is an ObjectId."""
    if spec.owner_field is None or spec.model is None or not spec.scoped:
        return None
    shape = fields_of(spec.model).get(spec.owner_field)
    if shape is None:
        return None
    value = without_null(shape.value)
    if isinstance(value, Leaf) and value.rule.id in _OWNER_RULES:
        return Owner(spec.owner_field, shape.required)
    return None
