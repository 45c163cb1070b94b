"""What some documents of a collection show of all: which fields, how often, and of what kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId
from bson.code import Code
from bson.datetime_ms import DatetimeMS

__all__ = ["Seen", "SeenField"]


@dataclass(slots=True)
class Seen:
    """What some documents show of all.

    Attributes:
        documents: How many were looked at.
        fields: What was seen of each field.
    """

    documents: int = 0
    fields: dict[str, SeenField] = field(default_factory=dict)

    def add(self, document: Mapping[str, Any]) -> None:
        """Looks at one more."""
        self.documents += 1
        for key, value in document.items():
            self.fields.setdefault(key, SeenField()).add(value)


@dataclass(slots=True)
class SeenField:
    """What was seen of a field.

    Attributes:
        times: In how many documents it is.
        null: Whether it was null.
        plain: Whether its values were all of types that mean what they seem to.
        inside: What was seen of embedded documents, be it in a list.
    """

    times: int = 0
    null: bool = False
    plain: bool = True
    inside: Seen = field(default_factory=Seen)

    def add(self, value: object) -> None:
        """Looks at one more value."""
        self.times += 1
        if value is None:
            self.null = True
        elif isinstance(value, Mapping):
            self.inside.add(value)
        elif isinstance(value, list):
            self.plain = False
            for element in value:
                if isinstance(element, Mapping):
                    self.inside.add(element)
        elif isinstance(value, Code) or not isinstance(
            value, str | bool | int | float | ObjectId | datetime | DatetimeMS
        ):
            self.plain = False
