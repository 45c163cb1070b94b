"""Any order of runs, interruptions, resumes and rollbacks while the application goes on writing.

A plain model in Python knows what must be there; the database is a real one.
"""

from __future__ import annotations

from bson import ObjectId
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from small_legacy import DAY, legacy_user
from traces import expire_lease

from newbi_migrate.mapping.ids import organization_id

DONE, REFUSED, LEFT, KEPT, KILLED = 0, 2, 3, 5, -9
COLLECTIONS = {"invoices": "createdBy", "events": "userId", "boards": "userId"}
PEOPLE = ("user", "account", "organization", "member")
POINTS = st.one_of(st.none(), st.tuples(st.integers(3, 90), st.sampled_from(["before", "after"])))
PICK = st.integers(0, 10**6)


def stored(database, name):
    return {document["_id"]: document for document in database[name].find()}


class AnyOrder(RuleBasedStateMachine):
    """The application and the tool take turns; now and then the tool is killed."""

    def __init__(self, server, client, processes, name):
        super().__init__()
        self.database = client[name]
        self.uri = server.uri_for(name)
        self.processes = processes
        self.users = []
        self.documents = {}  # (collection, _id) to the document as the application wrote it
        self.natives = {}  # organizations of people who signed up on the new application
        self.kept = set()  # users who stayed after a rollback, for something referred to them
        self.unfinished = None
        self.count = 0
        client.drop_database(name)

    def new_id(self):
        self.count += 1
        return ObjectId(f"64d0{self.count:020x}")

    # -- the application ----------------------------------------------------------------------

    @initialize(number=st.integers(1, 3))
    def begin(self, number):
        for _ in range(number):
            self.legacy_sign_up()
        for name in COLLECTIONS:
            self.write_old(name, 0, None)

    @rule()
    def legacy_sign_up(self):
        """Somebody signs up on the old application."""
        user = legacy_user(0, email=f"moi{self.count}@exemple.fr") | {"_id": self.new_id()}
        self.database["Users"].insert_one(user)
        self.users.append(user["_id"])

    @rule()
    def sign_up(self):
        """Somebody signs up on the new application and writes an invoice."""
        user, organization = self.new_id(), self.new_id()
        self.database["user"].insert_one({"_id": user, "email": f"{user}@exemple.fr"})
        self.database["organization"].insert_one({"_id": organization, "slug": str(organization)})
        self.database["member"].insert_one(
            {"_id": self.new_id(), "userId": user, "organizationId": organization, "role": "owner"}
        )
        self.natives[user] = organization
        self.write("invoices", {"createdBy": user, "workspaceId": organization})

    @rule(
        name=st.sampled_from(sorted(COLLECTIONS)),
        owner=PICK,
        held=st.sampled_from(["absent", "null", "text"]),
    )
    def write_old(self, name, owner, held):
        """The old application writes a document, without a workspace."""
        document = {COLLECTIONS[name]: self.users[owner % len(self.users)]}
        if held == "null":
            document["workspaceId"] = None
        if held == "text":
            document["workspaceId"] = ""
        self.write(name, document)

    @precondition(lambda self: self.migrated())
    @rule(name=st.sampled_from(sorted(COLLECTIONS)), owner=PICK)
    def write_new(self, name, owner):
        """The new application writes a document in the workspace of its owner."""
        migrated = sorted(self.migrated())
        user = migrated[owner % len(migrated)]
        self.write(name, {COLLECTIONS[name]: user, "workspaceId": organization_id(user)})

    def write(self, name, document):
        document |= {"_id": self.new_id(), "number": str(self.count), "issueDate": DAY}
        self.database[name].insert_one(document)
        self.documents[name, document["_id"]] = document

    @precondition(lambda self: self.documents)
    @rule(which=PICK)
    def edit(self, which):
        name, identifier = sorted(self.documents)[which % len(self.documents)]
        self.count += 1
        change = {"note": f"n° {self.count}"}
        self.database[name].update_one({"_id": identifier}, {"$set": change})
        self.documents[name, identifier] |= change

    @precondition(lambda self: self.documents)
    @rule(which=PICK)
    def delete(self, which):
        name, identifier = sorted(self.documents)[which % len(self.documents)]
        self.database[name].delete_one({"_id": identifier})
        del self.documents[name, identifier]

    # -- the tool -----------------------------------------------------------------------------

    def migrated(self):
        members = {m["userId"] for m in self.database["member"].find()}
        return members & set(self.users)

    def left_unfinished(self):
        """The command that has to be repeated; one killed before its first record is not."""
        for run in self.database["newbi_migrate_runs"].find():
            if run["state"] == "rolling-back":
                return "rollback"
            if run["state"] == "running":
                return run["command"]
        return None

    def carry_out(self, command, **options):
        arguments = [command, "--confirm", *(["--all"] if command == "rollback" else [])]
        return self.processes.start(self.uri, *arguments, **options)

    def run(self, command, point):
        at, when = point or (None, None)
        return self.ended(command, self.carry_out(command, at=at, when=when).wait())

    def ended(self, command, ended):
        """What came of a command, or nothing if it was killed."""
        if ended.killed:
            expire_lease(self.database)
            self.unfinished = self.left_unfinished()
            return None
        assert ended.status in {DONE, LEFT, KEPT}, ended
        self.unfinished = None
        return ended

    @precondition(lambda self: self.unfinished in {None, "migrate"})
    @rule(point=POINTS)
    def migrate(self, point):
        if self.run("migrate", point):
            assert set(self.users) == self.migrated()
            self.everybody_is_whole(self.users)
            self.workspaces_are(lambda owner: True)

    @precondition(lambda self: self.unfinished in {None, "backfill"})
    @rule(point=POINTS)
    def backfill(self, point):
        begun = {"command": "migrate", "state": "done"}
        if self.unfinished is None and not self.database["newbi_migrate_runs"].find_one(begun):
            # No migration is in place, and nothing is begun.
            ended = self.processes.run(self.uri, "backfill", "--confirm")
            assert REFUSED == ended.status, ended
            return
        migrated = self.migrated()
        if self.run("backfill", point):
            self.workspaces_are(lambda owner: owner in migrated)

    @rule(point=POINTS)
    def rollback(self, point):
        before, in_use = self.migrated(), self.in_use()
        ended = self.run("rollback", point)
        if not ended:
            return
        # What referred to somebody may have been deleted once it was decided that they stay.
        must, may = in_use & self.in_use(), in_use | self.in_use()

        assert (must | self.kept) & before <= self.migrated()
        assert self.migrated() <= (may | self.kept) & before
        # Whoever an earlier rollback left is named again, also where it was killed.
        assert ended.status == (LEFT if self.migrated() else DONE), (self.kept, ended)
        self.kept = self.migrated()
        self.everybody_is_whole(self.kept)
        assert [] == list(self.database["newbi_migrate_journal"].find({"state": "pending"}))
        for (name, identifier), document in self.documents.items():
            assert document == self.database[name].find_one({"_id": identifier})
        for name in COLLECTIONS:
            if name in self.database.list_collection_names():
                assert ["_id_"] == [index["name"] for index in self.database[name].list_indexes()]

    def in_use(self):
        """Users into whose workspaces the application itself put a document."""
        referred = {
            document["workspaceId"]
            for document in self.documents.values()
            if document.get("workspaceId")
        }
        return {user for user in self.users if organization_id(user) in referred}

    @precondition(lambda self: self.unfinished == "migrate")
    @rule()
    def another_command_is_refused(self):
        """Nothing is built on what was left half done."""
        assert REFUSED == self.processes.run(self.uri, "backfill", "--confirm").status

    # -- what must be there -------------------------------------------------------------------

    def everybody_is_whole(self, users):
        """Each of these users has an organization of their own, a membership and an account."""
        workspaces = {organization_id(user) for user in users}
        found = {name: stored(self.database, name) for name in PEOPLE}

        assert set(users) | self.natives.keys() == found["user"].keys()
        assert workspaces | set(self.natives.values()) == found["organization"].keys()
        assert set(users) == {account["userId"] for account in found["account"].values()}
        pairs = [(m["userId"], m["organizationId"]) for m in found["member"].values()]
        expected = {(user, organization_id(user)) for user in users} | set(self.natives.items())
        assert len(pairs) == len(expected)
        assert set(pairs) == expected

    def workspaces_are(self, has_one):
        for (name, identifier), document in self.documents.items():
            owner = document[COLLECTIONS[name]]
            expected = document.get("workspaceId")
            if owner in self.users and has_one(owner):
                expected = organization_id(owner)
            found = self.database[name].find_one({"_id": identifier})
            assert expected == found.get("workspaceId"), (name, found)

    @invariant()
    def nothing_is_lost(self):
        """Documents are those of the application, but for the workspace they may have got."""
        for name in COLLECTIONS:
            mine = {i: d for (n, i), d in self.documents.items() if n == name}
            found = stored(self.database, name)
            assert mine.keys() == found.keys()
            for identifier, document in mine.items():
                now = found[identifier]
                if now != document:
                    owner = document[COLLECTIONS[name]]
                    assert document | {"workspaceId": organization_id(owner)} == now
        assert set(self.users) == stored(self.database, "Users").keys()

    def teardown(self):
        self.database.client.drop_database(self.database.name)
