"""The described indexes and expressions, as a real server takes them."""

from __future__ import annotations

from datetime import datetime

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo.errors import DuplicateKeyError

from newbi_migrate.documents.newbi import BETTER_AUTH_INDEXES, NEWBI


def create(collection, index):
    options = {"name": index.name, "unique": index.unique, "sparse": index.sparse}
    if index.partial is not None:
        options["partialFilterExpression"] = index.partial
    collection.create_index(list(index.keys), **options)


def test_the_server_builds_everything_that_is_wanted(sync_database):
    """No description has a mistake that only the server would find."""
    wanted = {s.name: [*(k.index for k in s.unique_keys), *s.indexes] for s in NEWBI}
    wanted.update(BETTER_AUTH_INDEXES)
    for name, indexes in wanted.items():
        for index in indexes:
            create(sync_database[name], index)
        if indexes:
            assert {"_id_", *(i.name for i in indexes)} == set(
                sync_database[name].index_information()
            )


@pytest.mark.parametrize(
    ("document", "year"),
    [
        ({"issueDate": datetime(2024, 12, 31, 22, 59)}, 2024),  # noqa: DTZ001  # as stored
        ({"issueDate": datetime(2024, 12, 31, 23, 30)}, 2025),  # noqa: DTZ001
        ({"issueDate": datetime(2024, 12, 31, 23, 30), "issueYear": 2024}, 2024),  # noqa: DTZ001
        ({"issueDate": "2024-12-31"}, None),
        ({"issueDate": DatetimeMS(2**63 - 1)}, 292278994),
        ({}, None),
    ],
)
def test_the_year_of_issue_is_foreseen_as_the_application_writes_it(sync_database, document, year):
    """In French time, from whatever is stored, and never against a year that is there."""
    (key,) = NEWBI["invoices"].unique_keys
    sync_database["invoices"].insert_one(dict(document))
    (found,) = sync_database["invoices"].aggregate([{"$project": {"_id": 0, **key.derived}}])

    assert year == found["issueYear"]


def test_what_lacks_a_number_or_an_external_id_never_collides(sync_database):
    """Drafts with null, and transactions of the old shape, live beside one another."""
    workspace = ObjectId()
    create(sync_database["invoices"], NEWBI["invoices"].unique_keys[0].index)
    create(sync_database["transactions"], NEWBI["transactions"].unique_keys[0].index)
    for _ in range(2):
        sync_database["invoices"].insert_one({"workspaceId": workspace, "number": None})
        sync_database["transactions"].insert_one({"bridgeTransactionId": "1"})
        sync_database["transactions"].insert_one({"provider": None, "externalId": None})
    numbered = {"workspaceId": workspace, "number": "000001", "issueYear": 2025}
    sync_database["invoices"].insert_one(dict(numbered))

    with pytest.raises(DuplicateKeyError):
        sync_database["invoices"].insert_one(dict(numbered))
    sync_database["invoices"].insert_one({**numbered, "issueYear": 2024})
    sync_database["invoices"].insert_one({**numbered, "workspaceId": ObjectId()})
