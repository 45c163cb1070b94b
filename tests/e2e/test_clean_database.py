"""What the application really left goes through the whole run book, and its search works all along.

Beside it stands what keeps an index from being swapped.
"""

from __future__ import annotations

import pytest
from bson import ObjectId
from fingerprints import changes, fingerprint
from pymongo.errors import DuplicateKeyError

from newbi_migrate import ExitCode
from newbi_migrate.demo import build_legacy_database

OLD_UNIQUE = {
    ("invoices", "number_1_createdBy_1_year_unique"),
    ("quotes", "number_1_createdBy_1"),
    ("quotes", "number_1_createdBy_1_partial"),
    ("creditnotes", "number_1_createdBy_1"),
    ("clients", "email_1_createdBy_1"),
    ("documentsettings", "createdBy_1_documentType_1"),
}
ON_STANDALONE = pytest.mark.parametrize("server", ["standalone"], indirect=True)
OLD_TEXT = {("expenses", "vendor_text"), ("emailsignatures", "name_text")}
NEW_TEXT = {("expenses", "workspaceId_1_vendor_text"), ("emailsignatures", "signatureName_text")}
SEARCHED = {
    "clients": {"name": "Lumière"},
    "products": {"name": "Lumière"},
    "expenses": {"vendor": "Lumière"},
    "emailsignatures": {"name": "Lumière", "signatureName": "Lumière"},
}


class Application:
    """The application, before workspaces and since: its search, and what it cannot store."""

    def __init__(self, database):
        self.database = database
        self.owner, self.colleague = [user["_id"] for user in database["users"].find().limit(2)]
        for name, words in SEARCHED.items():
            mine = {"_id": ObjectId(), "createdBy": self.owner, "email": "lumiere@exemple.fr"}
            database[name].insert_one({**database[name].find_one({}), **words, **mine})
        invoice = {"createdBy": self.owner, "number": "000001"}
        self.invoice = database["invoices"].find_one(invoice)["_id"]

    def workspace(self, user):
        return self.database["member"].find_one({"userId": user})["organizationId"]

    def finds(self, **scope):
        """How many documents its search finds in each collection that has one."""
        text = {"$text": {"$search": "lumiere"}}
        return {name: self.database[name].count_documents({**scope, **text}) for name in SEARCHED}

    def refuses_copy(self, **changed):
        """Whether an invoice that differs from another in this alone cannot be stored."""
        invoice = {**self.database["invoices"].find_one(self.invoice), "_id": ObjectId(), **changed}
        try:
            self.database["invoices"].insert_one(invoice)
        except DuplicateKeyError:
            return True
        self.database["invoices"].delete_one({"_id": invoice["_id"]})
        return False

    def refuses_twice_by_one_user(self):
        """Whether a user cannot give a number twice, in whatever workspace and year."""
        return self.refuses_copy(workspaceId=ObjectId())

    def refuses_twice_in_a_workspace(self):
        """Whether two users cannot give the same number in one workspace."""
        return self.refuses_copy(createdBy=ObjectId())

    def indexes(self):
        """Collection and name of each index."""
        names = self.database.list_collection_names()
        return {
            (name, index["name"])
            for name in names
            for index in self.database[name].list_indexes()
            if not name.startswith("newbi_migrate_")
        }


@pytest.fixture(params=["standalone", "replica set"])
def server(request):
    """A server without transactions, and one with them."""
    names = {"standalone": "mongod", "replica set": "replica_set"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def application(server, servers, database_name):
    """A clean database as the application left it: all collections, all its indexes."""
    database = servers.client(server)[database_name]
    build_legacy_database(database, seed=7, users=4, documents_per_user=40)
    return Application(database)


@pytest.fixture
def call(quick, server, application):
    """Runs a command on it."""
    uri = server.uri_for(application.database.name)
    return lambda *arguments: quick(*arguments, uri=uri)


@pytest.mark.slow
def test_a_clean_database_is_clean(call, application):
    """Every step of the run book ends with 0, and the application can search after each."""
    before = application.indexes()
    ends = {}

    def step(*arguments):
        ended = call(*arguments)
        scope = {"createdBy": application.owner}
        if ("expenses", "vendor_text") not in application.indexes():
            # The application of today names the workspace first, without which MongoDB refuses.
            scope = {"workspaceId": application.workspace(application.owner)}
        ends[" ".join(arguments)] = (ended.code, application.finds(**scope))
        return ended

    step("doctor", "--watch", "0")
    backup = step("backup", "--output-dir", "backups", "--json").json["path"]
    step("verify-backup", "--compare", backup)
    step("doctor", "--backup", backup, "--watch", "0")
    planned = step("plan", "--output", "plan.json", "--backup", backup)
    by_user = application.refuses_twice_by_one_user(), application.refuses_twice_in_a_workspace()
    step("migrate", "--plan", "plan.json", "--backup", backup, "--confirm")
    by_both = application.refuses_twice_by_one_user(), application.refuses_twice_in_a_workspace()
    migrated = application.indexes()
    step("validate", "--unchanged")
    step("indexes")
    step("indexes", "--apply", "--confirm")
    by_workspace = (
        application.refuses_twice_by_one_user(),
        application.refuses_twice_in_a_workspace(),
    )
    swapped = application.indexes()
    step("validate", "--unchanged")
    step("finalize", "--keep", "--dry-run")
    step("finalize", "--keep", "--confirm")
    step("validate")
    step("status")

    found = dict.fromkeys(SEARCHED, 1)
    assert dict.fromkeys(ends, (ExitCode.DONE, found)) == ends
    assert "2 index-deferred" in planned.out
    assert (True, False) == by_user
    assert (True, True) == by_both
    assert (False, True) == by_workspace
    assert before >= OLD_UNIQUE | OLD_TEXT
    assert migrated >= before
    assert (OLD_UNIQUE | OLD_TEXT, NEW_TEXT) == (migrated - swapped, swapped - migrated)


@pytest.mark.slow
@ON_STANDALONE
def test_the_end_needs_no_other_step(call, application):
    """`finalize` alone swaps the indexes; `indexes` then has nothing to do, and writes nothing."""
    ends = [call("migrate", "--confirm"), call("finalize", "--keep", "--confirm")]
    there = application.indexes()
    stood = fingerprint(application.database)
    ends += [call("indexes"), call("indexes", "--apply", "--confirm")]

    assert [ExitCode.DONE] * 4 == [ended.code for ended in ends]
    assert (set(), NEW_TEXT) == (there & (OLD_UNIQUE | OLD_TEXT), there & NEW_TEXT)
    assert [] == changes(stood, fingerprint(application.database))


@pytest.mark.slow
def test_swapped_indexes_come_back_as_they_were(call, application):
    """A rollback of the swap restores the search of before, and all of them every byte."""
    legacy = fingerprint(application.database)
    call("migrate", "--confirm")
    migrated = fingerprint(application.database, run_records=False)
    call("indexes", "--apply", "--confirm")
    one = call("rollback", "--confirm")
    again = changes(migrated, fingerprint(application.database, run_records=False))
    found = application.finds(createdBy=application.owner)
    call("indexes", "--apply", "--confirm")
    call("finalize", "--keep", "--confirm")
    every = call("rollback", "--all", "--confirm")

    assert (ExitCode.DONE, [], dict.fromkeys(SEARCHED, 1)) == (one.code, again, found)
    assert ExitCode.DONE == every.code
    assert [] == changes(legacy, fingerprint(application.database, run_records=False))


@ON_STANDALONE
@pytest.mark.parametrize("command", [("indexes",), ("indexes", "--apply"), ("finalize", "--keep")])
def test_nothing_old_goes_before_a_migration(call, application, command):
    """With 2, and the database as it was."""
    before = fingerprint(application.database)
    refused = call(*command, *(["--confirm"] if len(command) > 1 else []))

    assert (ExitCode.USAGE, "newbi-migrate plan" in refused.err) == (refused.code, True)
    assert [] == changes(before, fingerprint(application.database))


@pytest.mark.slow
def test_what_cannot_be_swapped_stays(call, application):
    """The old index serves the search until the documents allow its successor; nothing is lost."""
    call("migrate", "--confirm")
    odd = {"_id": ObjectId(), "workspaceId": [ObjectId()], "vendor": "Lumière"}
    application.database["expenses"].insert_one(odd)
    before = application.indexes()
    tried = call("indexes", "--apply", "--confirm")
    stayed, found = application.indexes(), application.finds(createdBy=application.owner)
    application.database["expenses"].delete_one(odd)
    again = call("indexes", "--apply", "--confirm")

    assert ExitCode.PENDING == tried.code
    assert "expenses.vendor_text: until workspaceId_1_vendor_text, which takes its" in tried.out
    assert "expenses.workspaceId_1_vendor_text: " in tried.out
    assert ({("expenses", "vendor_text")}, 1) == (stayed & before & OLD_TEXT, found["expenses"])
    assert (ExitCode.DONE, NEW_TEXT) == (again.code, application.indexes() & NEW_TEXT)


@pytest.mark.slow
@ON_STANDALONE
def test_a_number_that_is_there_twice_keeps_the_old_rule(call, application):
    """Named with 5 by plan and migrate and with 3 at the end; settled, the end builds the index."""
    invoices = application.database["invoices"]
    invoices.insert_one(
        {
            **invoices.find_one(application.invoice),
            "_id": ObjectId(),
            "createdBy": str(application.owner),
        }
    )
    name = "number_workspaceId_issueYear_unique"
    ends = [call("plan", "--json"), call("migrate", "--confirm", "--json")]
    tried = call("indexes", "--apply", "--confirm")
    still = application.refuses_twice_by_one_user()
    invoices.delete_one({"createdBy": str(application.owner)})
    settled = call("indexes", "--apply", "--confirm")

    assert [(ExitCode.QUARANTINED, [("invoices", name)])] * 2 == [
        (
            ended.code,
            [
                (index["collection"], index["name"])
                for index in ended.json["indexes"]
                if index["action"] == "collision"
            ],
        )
        for ended in ends
    ]
    assert (ExitCode.PENDING, True) == (tried.code, still)
    said = " ".join(tried.out.split())
    assert f"invoices.{name}: 2 documents share a key that would have to be unique." in said
    assert f"invoices.number_1_createdBy_1_year_unique: until {name}" in said
    assert (ExitCode.DONE, True) == (settled.code, application.refuses_twice_in_a_workspace())
    assert not application.refuses_twice_by_one_user()
    assert ("invoices", name) in application.indexes()


@pytest.mark.slow
@ON_STANDALONE
def test_an_index_nobody_knows_is_named_and_stays(call, application):
    """A text index that is not of the old structure stands in the way: 5, and nothing drops it."""
    application.database["expenses"].drop_index("vendor_text")
    application.database["expenses"].create_index([("title", "text")], name="ours")
    migrated = call("migrate", "--confirm")
    swapped = call("indexes", "--apply", "--confirm")
    ended = call("finalize", "--keep", "--confirm")

    assert (ExitCode.QUARANTINED, True) == (migrated.code, "(expenses.worksp" in migrated.out)
    assert [ExitCode.PENDING] * 2 == [swapped.code, ended.code]
    assert "expenses.workspaceId_1_vendor_text: A collection can have one text" in swapped.out
    assert ("expenses", "ours") in application.indexes()
