"""A few legacy users and invoices, for tests that need no realistic database."""

from __future__ import annotations

from datetime import datetime

from bson import ObjectId

BCRYPT = "$2a$10$" + "h" * 53
DAY = datetime(2024, 3, 5)  # noqa: DTZ001  # as PyMongo gives dates back
USERS = [ObjectId(f"64b0000000000000000000{n:02x}") for n in range(8)]


def legacy_user(position, **fields):
    """A legacy user as Newbi's application stored it."""
    return {
        "_id": USERS[position],
        "email": f"jeanne{position}@exemple.fr",
        "password": BCRYPT,
        "isEmailVerified": True,
        "createdAt": DAY,
        "updatedAt": DAY,
        "profile": {"firstName": "Jeanne", "lastName": f"Dupont-{position}"},
        "company": {"name": f"Atelier {position}", "email": f"atelier{position}@exemple.fr"},
        **fields,
    }


def invoices(owner, count, **fields):
    """Invoices of one user, numbered."""
    return [
        {"createdBy": owner, "number": f"{n:06d}", "issueDate": DAY, "createdAt": DAY, **fields}
        for n in range(1, count + 1)
    ]
