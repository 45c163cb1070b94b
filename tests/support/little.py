"""A little legacy database in which a run finds something of everything to do."""

from __future__ import annotations

from itertools import count

from bson import ObjectId
from small_legacy import USERS, invoices, legacy_user


def little_legacy(database):
    """Fill a database: late stamps, values to replace, a child, an owner nobody knows, fills.

    Two users share an address; owners are stored as text and as an object too; a validator
    refuses a document that is there already.

    A migration of it ends with 5, and twice the same bytes are twice the same bytes.
    """
    ids = (ObjectId(f"64c0{n:020x}") for n in count())
    same = legacy_user(7, email="JEANNE6@exemple.fr")
    database["Users"].insert_many([*(legacy_user(n) for n in (0, 1, 2, 3, 6)), same])
    documents = {
        "invoices": [invoice for n in range(4) for invoice in invoices(USERS[n], 3)],
        "clients": [{"createdBy": USERS[n], "workspaceId": None} for n in range(4)],
        "boards": [{"userId": USERS[0], "title": "Chantier"}],
        "columns": [{"boardId": ObjectId(f"64c0{16:020x}"), "userId": USERS[1]}],
        "quotes": [{"createdBy": USERS[0]}, {"createdBy": "personne"}],
        "events": [{"userId": {"$oid": str(USERS[2])}}, {"userId": str(USERS[6])}],
        "products": [{"createdBy": USERS[1], "name": "Devis"}, {"createdBy": USERS[1]}],
    }
    for name, each in documents.items():
        database[name].insert_many([{"_id": next(ids), **document} for document in each])
    database.command("collMod", "products", validator={"name": {"$exists": True}})
    # Who is there already, with a home of their own: both lack fields that a run fills.
    home = ObjectId("64c100000000000000000001")
    database["user"].insert_one({"_id": USERS[3], "email": "jeanne3@exemple.fr"})
    database["organization"].insert_one({"_id": home, "name": "Atelier", "slug": "atelier"})
    member = {"_id": ObjectId("64c200000000000000000001"), "organizationId": home}
    database["member"].insert_one({**member, "userId": USERS[3], "role": "owner"})


def without_quarantine(database):
    """Take out of it what a run would quarantine: a migration then ends with 0."""
    database["Users"].delete_one({"_id": USERS[7]})
    database["quotes"].delete_one({"createdBy": "personne"})
    database["products"].delete_one({"name": {"$exists": False}})
