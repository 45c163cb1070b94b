"""The one marker of a field: the id, the sentence and the severity of its rule.

Pydantic's own constraints say what a value must be. The marker stands last in ``Annotated`` and
names the rule that a value breaks which does not satisfy them::

    Siret = Annotated[str, whole("[0-9]{14}"), FieldRule("field.siret", "A SIRET is 14 digits.")]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from newbi_migrate.rules import Rule

__all__ = ["DOCUMENT", "LIST", "NATIVE", "REQUIRED", "TYPE", "UNKNOWN", "FieldRule"]


@dataclass(frozen=True, slots=True)
class FieldRule(Rule):
    """The rule of one value; pydantic reports it for whatever is wrong with that value.

    Attributes:
        id: Stable identifier, ``field.<rule>`` in lower case with hyphens.
        python_only: Whether no server can be asked, because a validator in Python decides.
    """

    python_only: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        inner: Any = handler(source)
        if inner["type"] != "list":
            return self._named(inner)
        # The sentence is about the length alone: what is no list, and what is wrong inside an
        # element, have rules of their own.
        limits = {key: inner.pop(key) for key in ("min_length", "max_length") if key in inner}
        length = self._named(core_schema.list_schema(strict=True, **limits))
        return core_schema.chain_schema(
            [core_schema.list_schema(strict=True), length, inner], metadata={"list": limits}
        )

    def _named(self, schema: CoreSchema) -> CoreSchema:
        return core_schema.custom_error_schema(
            schema, custom_error_type=self.id, custom_error_message=self.sentence
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        said: Any = schema
        limits = (said.get("metadata") or {}).get("list")
        found = handler(said if limits is None else said["steps"][-1])
        for name, key in (("min_length", "minItems"), ("max_length", "maxItems")):
            if limits and name in limits:
                found = {**found, key: limits[name]}
        return {**found, "description": self.sentence}


REQUIRED: Final = FieldRule("field.required", "The field must be there.")
DOCUMENT: Final = FieldRule("field.document", "The value is an embedded document.")
LIST: Final = FieldRule("field.list", "The value is a list.")
TYPE: Final = FieldRule("field.type", "The value is of the declared type.", python_only=True)
UNKNOWN: Final = FieldRule("field.unknown", "No field has this name.")

NATIVE: Final[Mapping[str, FieldRule]] = {
    "missing": REQUIRED,
    "model_type": DOCUMENT,
    "dict_type": DOCUMENT,
    "model_attributes_type": DOCUMENT,
    "list_type": LIST,
    "extra_forbidden": UNKNOWN,
}
"""The rules by the errors that pydantic reports by itself; any other is that of the type."""
