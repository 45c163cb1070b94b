"""The rules of the models, asked of a database: the server finds violators, Python says where.

Only documents that break a rule travel. Where one of the rules can be asked of no server, all
documents of its collection do.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from newbi_migrate.documents.base import DocumentModel
from newbi_migrate.documents.better_auth import Account, Member, Organization, User
from newbi_migrate.documents.registry import CollectionSpec
from newbi_migrate.mapping.values import ABSENT
from newbi_migrate.migration.validation.origins import Read
from newbi_migrate.migration.validation.report import Origin
from newbi_migrate.rules import Rule
from newbi_migrate.store.counting import estimated_count
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.faults import task_group
from newbi_migrate.store.handles import Collection
from newbi_migrate.store.reading import matching, sample
from newbi_migrate.store.windows import id_ranges

if TYPE_CHECKING:
    from newbi_migrate.migration.validation.request import State, ValidationRequest

__all__ = ["ModelRules"]

_LARGE: Final = 50_000

# What the structural rules ask more exactly.
_PEOPLE: Final[tuple[tuple[str, type[DocumentModel], frozenset[str], frozenset[str]], ...]] = (
    (
        "user",
        User,
        frozenset({"_id", "email"}),
        frozenset({"user.flags-agree", "user.no-workspace"}),
    ),
    ("account", Account, frozenset({"_id", "userId"}), frozenset({"account.credential-id"})),
    ("organization", Organization, frozenset({"_id"}), frozenset()),
    ("member", Member, frozenset({"_id", "organizationId", "userId"}), frozenset()),
)


@dataclass(frozen=True, slots=True)
class _Target:
    """A collection and the rules its documents are held to.

    Attributes:
        name: The collection.
        model: The model of its documents.
        skip: Top-level fields of which nothing is asked.
        written: Top-level fields that a run may write in documents that were there before;
            ``None`` where it creates documents.
        rules: The rules that are asked, by id.
    """

    name: str
    model: type[DocumentModel]
    skip: frozenset[str]
    written: frozenset[str] | None
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def broken_by(self, document: Mapping[str, Any]) -> Iterator[tuple[Rule, str]]:
        """The rules a document breaks, and where."""
        for violation in self.model.violations_of(document):
            rule = self.rules.get(violation.rule)
            if rule is not None and violation.path.partition(".")[0] not in self.skip:
                yield rule, violation.path


class ModelRules:
    """The rules of the models of some collections.

    Args:
        request: What is validated.
        specs: The registered collections.
        names: All collections that exist.
        owners: Collection to the owner field the structural rules look at.
        comment: Attached to every command.
    """

    def __init__(
        self,
        request: ValidationRequest,
        specs: Sequence[CollectionSpec],
        names: Container[str],
        owners: Mapping[str, str],
        comment: str,
    ) -> None:
        self._request = request
        self._comment = comment
        self._names = names
        self._known: dict[str, None] = {}
        self._targets: list[_Target] = []
        for spec in specs:
            if spec.model is not None:
                # On the day of the schema it may have had none yet, and no run gave it one.
                scoped = request.registry[spec.name].scoped
                skip = {request.registry.workspace_field} if scoped else set()
                if spec.name in owners:
                    skip.add(owners[spec.name])
                written = frozenset(spec.user_fields) - skip
                self._add(spec.name, spec.model, frozenset(skip), written, frozenset())
        for name, model, fields, left in _PEOPLE:
            self._add(name, model, fields, None, left)

    def _add(
        self,
        name: str,
        model: type[DocumentModel],
        skip: frozenset[str],
        written: frozenset[str] | None,
        left: Container[str],
    ) -> None:
        asked = [rule for rule in model.declared_rules() if rule.id not in left]
        self._known.update(dict.fromkeys(rule.id for rule in asked))
        wanted = {rule.id: rule for rule in asked if self._request.wants(rule.id)}
        if wanted and name in self._names:
            self._targets.append(_Target(name, model, skip, written, wanted))

    def ids(self) -> list[str]:
        """The ids of all rules."""
        return list(self._known)

    async def check(self, state: State) -> None:
        """Ask the rules of all collections."""
        most, progress = self._request.sample, self._request.progress
        sizes: list[int] = []
        for target in self._targets:
            size = await estimated_count(self._request.database[target.name], comment=self._comment)
            sizes.append(size if most is None else min(size, most))
        progress.phase("rules of the models", sum(sizes))
        for target, size in zip(self._targets, sizes, strict=True):
            # Those that structural rules looked at were counted as they were read.
            state.documents.setdefault(target.name, size)
            await self._check(target, self._request.database[target.name], state)
            progress.advance(size, target.name)

    async def _check(self, target: _Target, collection: Collection, state: State) -> None:
        if self._request.sample is not None:
            async for raw in sample(collection, self._request.sample, comment=self._comment):
                await _look(target, raw, state)
            return
        match: Mapping[str, Any] = {}
        if target.rules.keys() <= target.model.server_checkable_rules():
            match = target.model.violators(target.rules.keys(), skip=target.skip)
        large = await estimated_count(collection, comment=self._comment) >= _LARGE

        async def read(part: Mapping[str, Any]) -> None:
            query = {**part, **match}
            in_order = large and "$or" in match
            if in_order:
                # Each range reads the collection in its own order and passes over what is not
                # its: that is quicker than to fetch its documents by id. The server compares
                # the id before it asks a $nor, and would ask an $or first.
                query = {**part, "$nor": [{"$nor": match["$or"]}]}
            found = matching(collection, query, natural=in_order, comment=self._comment)
            async with aclosing(found) as documents:
                async for raw in documents:
                    await _look(target, raw, state)

        parts = self._request.options.workers if large else 1
        async with task_group() as tasks:
            async for part in id_ranges(collection, parts, comment=self._comment):
                tasks.create_task(read(part))


async def _look(target: _Target, raw: bytes, state: State) -> None:
    document, _ = decode(raw)
    seen: set[tuple[str, Origin]] = set()
    for rule, path in target.broken_by(document):
        origin = state.origins.once_migrated(Origin.BEFORE)
        if target.written is None or path.partition(".")[0] in target.written:
            holds = document.get(path, ABSENT)
            read = Read(target.name, document["_id"], path or "_id", holds)
            origin = await state.origins.of(read)
        # Documents are counted, and every path is named.
        count = 0 if (rule.id, origin) in seen else 1
        state.violations.add(rule, target.name, document["_id"], path, origin=origin, count=count)
        seen.add((rule.id, origin))
