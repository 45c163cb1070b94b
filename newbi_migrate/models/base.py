"""Documents as models: tolerant when they are read, strict when they are made.

Stored data breaks the rules of the schema that wrote it, so :meth:`DocumentModel.load` takes
any document as it is and :meth:`DocumentModel.violations` says what is wrong with it, while
constructing a model, as a backend does for a new document, raises. Both use the same rules.
It changes when that contract does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, ValidationInfo
from pydantic import model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from newbi_migrate.invariants.base import Invariant, Severity, Violation

__all__ = ["DocumentModel", "EmbeddedModel", "TolerantModel"]

_FIELDS_ONLY = "newbi_migrate.fields_only"


class TolerantModel(BaseModel):
    """What documents and embedded documents have in common.

    Attributes are named in Python's way; the names in MongoDB are their aliases.

    Attributes:
        INVARIANTS: Rules across fields, declared by each class; a subclass adds its own to
            those it inherits.
    """

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        populate_by_name=True,
        alias_generator=to_camel,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    INVARIANTS: ClassVar[tuple[Invariant, ...]] = ()

    _source: dict[str, Any] | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Self:
        """The model of a stored document, whatever it holds.

        Nothing is retyped, unknown fields are kept, and no business rule is applied. An
        attribute of a field that is absent reads ``None``; ``model_fields_set`` tells the
        fields that are present.
        """
        source = dict(document)
        values: dict[str, Any] = {}
        present: set[str] = set()
        aliases: set[str] = set()
        for name, alias, embedded in _layout(cls):
            aliases.add(alias)
            if alias in source:
                values[name] = _adopt(source[alias], embedded)
                present.add(name)
            else:
                values[name] = None
        model = cls.model_construct(present)
        extra = {name: value for name, value in source.items() if name not in aliases}
        object.__setattr__(model, "__dict__", values)
        object.__setattr__(model, "__pydantic_fields_set__", present | extra.keys())
        object.__setattr__(model, "__pydantic_extra__", extra)
        model._source = source
        return model

    def to_document(self) -> dict[str, Any]:
        """The document to store.

        A loaded, unchanged model gives exactly the fields it was loaded from, in their order;
        changed fields keep their place and new ones follow. A constructed model gives the
        fields that were set and those whose default is a value.
        """
        fields = {alias: name for name, alias, _ in _layout(type(self))}
        extra = self.__pydantic_extra__ or {}
        document: dict[str, Any] = {}
        for key in self._source or ():
            if key in fields and fields[key] in self.model_fields_set:
                document[key] = _release(self.__dict__[fields[key]])
            elif key not in fields and key in extra:
                document[key] = extra[key]
        for alias, name in fields.items():
            if alias in document:
                continue
            value = self.__dict__.get(name)
            if name in self.model_fields_set or value is not None:
                document[alias] = _release(value)
        document.update({key: value for key, value in extra.items() if key not in document})
        return document

    @classmethod
    def invariants(cls) -> tuple[Invariant, ...]:
        """The rules across fields of this model, inherited ones first."""
        return _declared(cls)

    @classmethod
    def violations(cls, document: Mapping[str, Any]) -> list[Violation]:
        """Every rule a document breaks, with dotted paths; empty where all hold.

        Constructing the model from the same values raises exactly if this is not empty, but
        for violations of severity ``info``, which never keep a document from being made.
        """
        found: list[Violation] = []
        try:
            cls.model_validate(dict(document), context={_FIELDS_ONLY: True})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                severity = detail.get("ctx", {}).get("severity", Severity.WARNING)
                found.append(
                    Violation(
                        rule=detail["type"].replace("_", "-"),
                        path=".".join(str(part) for part in detail["loc"]),
                        message=detail["msg"],
                        severity=Severity(severity),
                    )
                )
        found.extend(_broken(cls, document, ""))
        return found

    @model_validator(mode="after")
    def _hold(self, info: ValidationInfo) -> Self:
        if isinstance(info.context, dict) and info.context.get(_FIELDS_ONLY):
            return self
        own = type(self).invariants()
        if not own:
            return self
        document = self.to_document()
        for invariant in own:
            if invariant.severity is Severity.INFO:
                continue
            paths = invariant.check(document)
            if paths:
                raise PydanticCustomError(
                    invariant.id.replace("-", "_").replace(".", "_"),  # type: ignore[arg-type]
                    "{sentence} ({paths})",
                    {"sentence": invariant.sentence, "paths": ", ".join(paths)},
                )
        return self


class EmbeddedModel(TolerantModel):
    """Base of documents inside documents: addresses, snapshots, items."""


class DocumentModel(TolerantModel):
    """Base of the documents of a collection."""


@cache
def _layout(model: type[TolerantModel]) -> tuple[tuple[str, str, type[TolerantModel] | None], ...]:
    """Name, alias and embedded model, if any, of each field."""
    return tuple(
        (name, field.alias or name, _embedded(field.annotation))
        for name, field in model.model_fields.items()
    )


@cache
def _declared(model: type[TolerantModel]) -> tuple[Invariant, ...]:
    found: dict[str, Invariant] = {}
    for base in reversed(model.__mro__):
        for invariant in base.__dict__.get("INVARIANTS", ()):
            found[invariant.id] = invariant
    return tuple(found.values())


def _embedded(annotation: Any) -> type[TolerantModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, TolerantModel):
        return annotation
    for argument in get_args(annotation):
        found = _embedded(argument)
        if found is not None:
            return found
    return None


def _adopt(value: Any, embedded: type[TolerantModel] | None) -> Any:
    if embedded is None:
        return value
    if isinstance(value, Mapping):
        return embedded.load(value)
    if isinstance(value, list):
        return [embedded.load(item) if isinstance(item, Mapping) else item for item in value]
    return value


def _release(value: Any) -> Any:
    if isinstance(value, TolerantModel):
        return value.to_document()
    if isinstance(value, list):
        return [_release(item) for item in value]
    return value


def _broken(
    model: type[TolerantModel], document: Mapping[str, Any], prefix: str
) -> Iterator[Violation]:
    for invariant in model.invariants():
        for violation in invariant.violations(document):
            yield Violation(
                violation.rule, f"{prefix}{violation.path}", violation.message, violation.severity
            )
    for _, alias, embedded in _layout(model):
        value = document.get(alias)
        if embedded is None:
            continue
        items = [(f"{alias}.", value)]
        if isinstance(value, list):
            items = [(f"{alias}.{position}.", item) for position, item in enumerate(value)]
        for path, item in items:
            if isinstance(item, Mapping):
                yield from _broken(embedded, item, f"{prefix}{path}")
