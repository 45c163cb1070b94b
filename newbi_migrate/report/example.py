"""One user and one document before and after a migration, for a newcomer.

Shows stored values, so it is for made-up data alone; password hashes are not shown even then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import bson

from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.values import ABSENT, get_path
from newbi_migrate.report.document import Document, Row, Section, Table

__all__ = ["Example", "example_document", "journeys"]

_JOURNEYS: Final = (
    ("_id", ("user._id", "account.userId", "member.userId")),
    ("email", ("user.email",)),
    ("password", ("account.password",)),
    ("isEmailVerified", ("user.emailVerified",)),
    ("createdAt", ("user.createdAt",)),
    ("profile.firstName", ("user.name",)),
    ("profile.lastName", ("user.lastName",)),
    ("profile.phone", ("user.phoneNumber",)),
    ("company.name", ("organization.name", "organization.companyName")),
    ("company.siret", ("organization.siret",)),
    ("company.address.street", ("organization.addressStreet",)),
    ("company.address.city", ("organization.addressCity",)),
    ("company.bankDetails.iban", ("organization.bankIban",)),
)
"""Field of a legacy user, and the fields of the new documents that hold its value."""


@dataclass(frozen=True, slots=True)
class Example:
    """One user and one of their documents.

    Attributes:
        source: Name of the legacy users' collection.
        legacy: The legacy user.
        after: Better Auth collection to the user's document in it.
        collection: Name of the collection of ``document_before``.
        document_before: A document of theirs before the migration.
        document_after: The same document afterwards.
        workspace_field: Name of the field that scopes a document.
    """

    source: str
    legacy: Mapping[str, Any]
    after: Mapping[str, Mapping[str, Any]]
    collection: str
    document_before: Mapping[str, Any]
    document_after: Mapping[str, Any]
    workspace_field: str = "workspaceId"

    @property
    def only_stamped(self) -> bool:
        """Whether the document has its owner's workspace and is otherwise the same to the byte."""
        after = dict(self.document_after)
        stamped = after.pop(self.workspace_field, None)
        before = dict(self.document_before)
        before.pop(self.workspace_field, None)
        return str(stamped) == str(self.after["organization"]["_id"]) and bson.encode(
            before
        ) == bson.encode(after)


def journeys(example: Example) -> dict[str, list[str]]:
    """Field of the legacy user to the new fields that hold its very value."""
    found: dict[str, list[str]] = {}
    for path, targets in _JOURNEYS:
        value = get_path(example.legacy, *path.split("."))
        if value is ABSENT or value is None or value == "":
            continue
        found[path] = [
            target for target in targets if get_path(example.after, *target.split(".")) == value
        ]
    return {path: targets for path, targets in found.items() if targets}


def example_document(example: Example, *, database: str) -> Document:
    """The document of the user and of their document, before and after."""
    carried: list[Row] = []
    for path, targets in journeys(example).items():
        value = _shown(path, get_path(example.legacy, *path.split(".")))
        carried.append((path, value, targets[0]))
        carried += (("", "", target) for target in targets[1:])
    member, organization = example.after["member"], example.after["organization"]
    said = (
        f"The organization {organization['_id']} is the workspace; the member document makes the "
        f"user its {member.get('role')}."
    )
    before, after = example.document_before, example.document_after
    compared = tuple(
        (name, *(_shown(name, document.get(name, ABSENT)) for document in (before, after)))
        for name in ("number", "createdBy", example.workspace_field)
    )
    others = len(after) - (example.workspace_field in after)
    return Document(
        command="demo",
        database=database,
        title=f"A legacy user in {example.source}: {example.legacy['_id']}",
        exit_code=ExitCode.DONE,
        sections=(
            Section(
                "",
                (
                    Table("Where it is now", ("field", "value", "is now in"), tuple(carried)),
                    said,
                ),
            ),
            Section(
                f"One document of this user: {example.collection} {before.get('_id')}",
                (
                    Table("Before and after", ("field", "before", "after"), compared),
                    f"Its other {others} fields are the same to the byte.",
                ),
            ),
        ),
    )


def _shown(path: str, value: Any) -> str:
    if value is ABSENT:
        return "(not there)"
    if path == "password":
        return "(a hash, not shown)"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
