"""What years of production leave behind: users and documents that ask for a decision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from bson import ObjectId

from newbi_migrate.demo.documents import FACTORIES, FactoryContext, make_user
from newbi_migrate.demo.people import object_id

__all__ = ["dirty_documents"]

_WHEN: Final = datetime(2025, 6, 2, 9, 30, tzinfo=UTC)
# Far above those of the other users, so that no address or number is twice there.
_FIRST_NUMBER: Final = 10_000_000


def dirty_documents(seed: int, source: str) -> Mapping[str, list[dict[str, Any]]]:
    """The documents of each collection: some can be resolved, the others are quarantined.

    Args:
        seed: Decides everything that is left to chance.
        source: Name of the collection of the legacy users.
    """
    made = _Made(seed, source)
    _add_users(made)
    _add_documents(made)
    return made.documents


class _Made:
    def __init__(self, seed: int, source: str) -> None:
        self.documents: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._source = source
        self._rng = Random(f"{seed}:dirty")  # noqa: S311  # repeatable, not secret
        self._number = _FIRST_NUMBER

    def id(self) -> ObjectId:
        return object_id(self._rng, int(_WHEN.timestamp()))

    def legacy_user(self, **changes: Any) -> dict[str, Any]:
        self._number += 1
        user = make_user(self._rng, self.id(), self._number) | changes
        self.documents[self._source].append(user)
        return user

    def document(self, collection: str, user: Mapping[str, Any], **changes: Any) -> None:
        self._number += 1
        number = self._number - _FIRST_NUMBER
        context = FactoryContext(self._rng, self.id(), user, number, _WHEN, links={})
        self.documents[collection].append(FACTORIES[collection](context) | changes)

    def user(self, email: str, **changes: Any) -> ObjectId:
        fields = {"name": "Camille", "emailVerified": True, "createdAt": _WHEN, "updatedAt": _WHEN}
        user = {"_id": self.id(), "email": email, **fields, **changes}
        self.documents["user"].append(user)
        identifier: ObjectId = user["_id"]
        return identifier

    def organization(self, owner: ObjectId) -> ObjectId:
        identifier = self.id()
        self.documents["organization"].append(
            {
                "_id": identifier,
                "name": "Atelier Exemple",
                "slug": f"atelier-{identifier}",
                "createdAt": _WHEN,
                "metadata": '{"type":"business"}',
            }
        )
        ids = {"_id": self.id(), "organizationId": identifier, "userId": owner}
        self.documents["member"].append({**ids, "role": "owner", "createdAt": _WHEN})
        return identifier


def _add_users(made: _Made) -> None:
    local = f"camille.{made.id()}"
    for email in (f"{local}@exemple.fr", f"{local.capitalize()}@Exemple.fr"):
        made.document("quotes", made.legacy_user(email=email))
    made.document("invoices", made.legacy_user(email="  "))
    # Who proved that the address is theirs inherits the documents; who did not, does not.
    for verified in (True, False):
        again = made.legacy_user()
        made.user(again["email"], emailVerified=verified)
        made.document("invoices", again)
        made.document("events", again)
    undecided = made.legacy_user()
    made.user(undecided["email"], _id=undecided["_id"])
    for _ in range(2):
        made.organization(undecided["_id"])
    made.document("expenses", undecided)


def _add_documents(made: _Made) -> None:
    user, colleague = made.legacy_user(), made.legacy_user()
    workspace = made.organization(made.user(colleague["email"], _id=colleague["_id"]))
    for owner in (str(user["_id"]), {"$oid": str(user["_id"])}, None, made.id(), "?"):
        made.document("invoices", user, createdBy=owner)
    # Blank, the user's own, nobody's, somebody else's.
    for stored in ("", user["_id"], made.id(), workspace):
        made.document("quotes", user, workspaceId=stored)
    # Right already, and right but for its type.
    for stored in (workspace, str(workspace)):
        made.document("clients", colleague, workspaceId=stored)
