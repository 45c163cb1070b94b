"""The documents as a backend uses them: made, saved, found, with hooks and fields of its own."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import bson
import pytest
from beanie import BulkWriter, Insert, Replace, Save, Update, after_event, before_event
from bson import ObjectId
from pydantic import TypeAdapter, ValidationError

from newbi_migrate import documents
from newbi_migrate.documents import (
    AccessGrant,
    Client,
    ClientSnapshot,
    Invitation,
    Invoice,
    Item,
    Member,
    Organization,
    Transaction,
    billing,
    create_indexes,
    descending,
    init_documents,
    odm,
)
from newbi_migrate.documents.scalars import Text
from newbi_migrate.errors import UsageError

ADDRESS = {"street": "1, rue de la Paix", "city": "Paris", "postalCode": "75002"}
CTY = {"street": "1, rue de la Paix", "cty": "Paris"}
MADE = {
    "items": [{"description": "Conseil", "quantity": 2, "unitPrice": 450.0, "vatRate": 20}],
    "companyInfo": {"name": "Atelier Zoé", "address": ADDRESS},
    "client": {
        "type": "INDIVIDUAL",
        "firstName": "Anne",
        "lastName": "Roy",
        "email": "anne@roy.fr",
        "address": ADDRESS,
    },
}


def made(model=Invoice, **changes):
    """A new invoice."""
    own = {"workspaceId": ObjectId(), "createdBy": ObjectId(), **copy.deepcopy(MADE), **changes}
    return model(**own)


def made_member(workspace):
    """A member of a workspace."""
    return Member(organization_id=workspace, user_id=ObjectId())


def dirty(**changes):
    """A stored invoice as an older version left it, with rules broken in three places."""
    document = made().to_document()
    bad = {**document["items"][0], "quantity": -1}
    client = {**document["client"], "email": "anne@roy.info"}
    year = {"issueYear": 1999}
    return {"_id": ObjectId(), **document, "items": [bad, *document["items"]], "client": client} | {
        **year,
        **changes,
    }


def broken(error):
    """The rules that an error names, with their paths."""
    return {(each["type"], ".".join(map(str, each["loc"]))) for each in error.errors()}


# -- making -----------------------------------------------------------------------------------


async def test_a_new_document_is_completed_as_the_application_completes_it(host):
    """Dates, version, ids of what is embedded, the day and the year of issue are all there."""
    await init_documents(host, Invoice)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    document = made().to_document()

    assert before <= document["createdAt"] <= datetime.now(UTC)
    assert (0, "DRAFT", []) == (document["__v"], document["status"], document["customFields"])
    assert document["issueYear"] in {before.year, before.year + 1}
    assert all(
        isinstance(part["_id"], ObjectId)
        for part in (document["items"][0], document["client"], document["client"]["address"])
    )
    assert None not in document.values()


@pytest.mark.parametrize(
    ("changes", "path", "meant"),
    [
        ({"dueDat": None}, "dueDat", "dueDate"),
        ({"due_dat": None}, "due_dat", "due_date"),
        ({"totalTtc": 5}, "totalTtc", "totalTTC"),
        ({"client": {**MADE["client"], "frstName": "A"}}, "client.frstName", "firstName"),
        ({"items": [{**MADE["items"][0], "unitPric": 1}]}, "items.0.unitPric", "unitPrice"),
    ],
)
async def test_a_wrong_name_is_refused_with_the_right_one(host, changes, path, meant):
    """Whoever misspells a field is told which one was meant, wherever it stands."""
    await init_documents(host, Invoice)
    with pytest.raises(ValidationError) as raised:
        made(**changes)

    assert {("field.unknown", path)} == broken(raised.value)
    assert f"Did you mean {meant}?" in str(raised.value)


async def test_paths_are_those_of_documents_however_a_field_was_given(host):
    """Names of Python are as good as those of documents, and errors know one of them alone."""
    await init_documents(host, Invoice)
    with pytest.raises(ValidationError) as raised:
        Invoice(workspace_id="x", createdBy=ObjectId(), **copy.deepcopy(MADE))

    assert {("field.workspace-id", "workspaceId")} == broken(raised.value)


async def test_what_was_loaded_promises_nothing_to_what_is_made(host):
    """An embedded document of a stored one is checked when a new document is made with it."""
    await init_documents(host, Invoice)
    loaded = Invoice.load(dirty())
    with pytest.raises(ValidationError) as raised:
        made(client=loaded.client)

    assert {("field.email", "client.email")} == broken(raised.value)


def test_what_was_loaded_is_served_on_its_own():
    """A route may answer with a part of a stored document, whatever rule it breaks."""
    document = dirty(client={**MADE["client"], "email": 7})
    loaded = billing.Invoice.load(document)
    client = TypeAdapter(ClientSnapshot).validate_python(loaded.client)
    items = TypeAdapter(list[Item]).validate_python(loaded.items)

    assert client is loaded.client
    assert document["items"] == [item.to_document() for item in items]


# -- saving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["save", "replace", "insert"])
async def test_saving_refuses_what_breaks_a_rule(host, sync_database, way):
    """It names path and rule, and writes nothing."""
    await init_documents(host, Invoice)
    invoice = made()
    if way != "insert":
        await invoice.insert()
    before = list(sync_database["invoices"].find())
    invoice.status = "PENDING"
    invoice.items[0].quantity = -1
    with pytest.raises(ValidationError) as raised:
        await getattr(invoice, way)()

    assert {
        ("invoice.number", "number"),
        ("field.number-min-0", "items.0.quantity"),
    } == broken(raised.value)
    assert before == list(sync_database["invoices"].find())


async def test_two_fields_can_be_moved_one_after_the_other(host):
    """Assigning may pass through what breaks a rule; only what is saved has to keep it."""
    await init_documents(host, Invoice)
    day = datetime(2025, 3, 1, tzinfo=UTC)
    invoice = await made(issueDate=day, dueDate=day).insert()
    invoice.issue_date = day + timedelta(days=9)
    invoice.due_date = day + timedelta(days=10)

    assert day + timedelta(days=10) == (await invoice.save()).due_date


async def test_a_misspelt_attribute_raises_at_once(host):
    """With the name that was meant."""
    await init_documents(host, Invoice)

    for name in ("dueDate", "dueDat", "due_dat"):
        with pytest.raises(AttributeError, match=rf"no field {name}\. Did you mean due_date\?"):
            setattr(made(), name, None)


@pytest.mark.parametrize(
    ("assign", "path", "meant"),
    [
        (lambda i: setattr(i, "client", {**MADE["client"], "nme": "A"}), "nme", "name"),
        (lambda i: setattr(i.client, "address", {**ADDRESS, "zipCode": "1"}), "zipCode", None),
        (
            lambda i: setattr(i, "items", [{**MADE["items"][0], "unitPric": 1}]),
            "unitPric",
            "unitPrice",
        ),
        (
            lambda i: setattr(i, "client", {**MADE["client"], "address": {"cty": ""}}),
            "address.cty",
            "city",
        ),
    ],
    ids=["embedded", "deeper", "in-a-list", "inside"],
)
async def test_a_misspelt_name_in_what_is_assigned_raises_at_once(host, assign, path, meant):
    """A dictionary becomes an embedded document as it would in a new invoice."""
    await init_documents(host, Invoice)
    with pytest.raises(ValidationError) as raised:
        assign(made())

    assert {("field.unknown", path)} == broken(raised.value)
    assert meant is None or f"Did you mean {meant}?" in str(raised.value)


async def test_a_dictionary_that_is_assigned_becomes_an_embedded_document(host):
    """With its defaults and its id, wherever it is assigned."""
    await init_documents(host, Invoice)
    invoice = made()
    invoice.client = copy.deepcopy(MADE["client"])
    invoice.items = [*invoice.items, copy.deepcopy(MADE["items"][0])]
    copied = invoice.model_copy(update={"client": copy.deepcopy(MADE["client"])})

    assert "Paris" == invoice.client.address.city == copied.client.address.city
    assert ["unité", "unité"] == [item.unit for item in invoice.items]
    assert isinstance(invoice.to_document()["client"]["address"]["_id"], ObjectId)
    assert [] == invoice.violations()


async def test_a_misspelt_name_put_into_a_list_is_not_saved(host, sync_database):
    """What a list is given nobody is told of; saving refuses it."""
    await init_documents(host, Invoice)
    invoice = await made().insert()
    before = list(sync_database["invoices"].find())
    invoice.items.append({**MADE["items"][0], "discont": 1, "details": "x"})
    with pytest.raises(ValidationError) as raised:
        await invoice.save()

    assert {("field.unknown", "items.1.discont")} == broken(raised.value)
    assert "Did you mean discount?" in str(raised.value)
    assert before == list(sync_database["invoices"].find())


async def test_a_misspelt_name_in_a_copy_raises_at_once(host):
    """A copy takes the names of attributes, and loses none."""
    await init_documents(host, Invoice)

    with pytest.raises(AttributeError, match=r"no field dueDat\. Did you mean due_date\?"):
        made().model_copy(update={"dueDat": None})


async def test_unknown_fields_of_stored_parts_may_be_saved(host, sync_database):
    """What is stored under names that nobody knows stays when other fields change."""
    document = made().to_document()
    document["client"]["nom"] = document["items"][0]["libelle"] = "x"
    sync_database["invoices"].insert_one({"_id": ObjectId(), **document})
    await init_documents(host, Invoice)
    invoice = await Invoice.find_one()
    invoice.items = [*invoice.items, *made().items]
    invoice.client.first_name = "Zoé"
    await invoice.save()
    stored = sync_database["invoices"].find_one()

    assert ("x", "x") == (stored["client"]["nom"], stored["items"][0]["libelle"])


async def test_the_plain_model_is_told_from_the_document(host):
    """Both are named alike, and a message that is about both says where each is from."""
    await init_documents(host, Invoice)
    plain = billing.Invoice.load(dirty())
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(Invoice).validate_python(plain)

    assert "This is a newbi_migrate.documents.billing.Invoice" in str(raised.value)
    assert "a newbi_migrate.documents.odm.Invoice is wanted" in str(raised.value)


async def test_old_dirt_may_stay_where_it_is_and_move(host, sync_database):
    """A stored document that breaks rules can be changed elsewhere, and its lines reordered."""
    document = dirty()
    sync_database["invoices"].insert_one(document)
    await init_documents(host, Invoice)
    invoice = await Invoice.get(document["_id"])
    invoice.header_notes = "Merci"
    invoice.items.reverse()
    await invoice.save()
    stored = sync_database["invoices"].find_one()

    assert "Merci" == stored["headerNotes"]
    assert list(reversed(document["items"])) == stored["items"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda i: setattr(i.client, "email", "other@roy.info"), ("field.email", "client.email")),
        (lambda i: i.items.append(i.items[0]), ("field.number-min-0", "items.2.quantity")),
        (lambda i: setattr(i, "issue_year", 1998), ("billing.issue-year", "issueYear")),
    ],
    ids=["another-value", "once-more", "across-fields"],
)
async def test_old_dirt_excuses_no_new_dirt(host, sync_database, change, rule):
    """The same rule broken by another value, or once more, is refused."""
    document = dirty()
    sync_database["invoices"].insert_one(document)
    await init_documents(host, Invoice)
    invoice = await Invoice.get(document["_id"])
    change(invoice)
    with pytest.raises(ValidationError) as raised:
        await invoice.replace()

    assert {rule} == broken(raised.value)


async def test_several_are_inserted_only_if_all_are_right(host, sync_database):
    """Beanie looks at none of them; here the first wrong one stops all."""
    await init_documents(host, Invoice)
    wrong = made()
    wrong.total_ht = -1
    with pytest.raises(ValidationError):
        await Invoice.insert_many([made(), wrong])

    assert 0 == sync_database["invoices"].count_documents({})


@pytest.mark.parametrize("way", ["insert", "save"])
async def test_a_copy_without_its_id_is_a_new_document(host, sync_database, way):
    """What was stored can be written a second time, under an id of its own."""
    await init_documents(host, Invoice)
    invoice = await made().insert()
    copied = invoice.model_copy(deep=True)
    copied.id = None
    await getattr(copied, way)()

    assert invoice.id != copied.id
    assert {invoice.id, copied.id} == set(sync_database["invoices"].distinct("_id"))


async def test_a_copy_takes_no_dirt_along(host, sync_database):
    """What is old in a stored document is new in another."""
    await init_documents(host, Invoice)
    copied = Invoice.load(dirty())
    copied.id = None
    with pytest.raises(ValidationError) as raised:
        await copied.insert()

    assert ("field.email", "client.email") in broken(raised.value)
    assert 0 == sync_database["invoices"].count_documents({})


async def test_a_bulk_writer_inserts_nothing_that_breaks_a_rule(host, sync_database):
    """Beanie validates nothing on that way."""
    await init_documents(host, Invoice)
    invoice = made()
    invoice.status = "PAYEE"
    async with BulkWriter() as writer:
        with pytest.raises(ValidationError):
            await Invoice.insert_one(invoice, bulk_writer=writer)

    assert 0 == sync_database["invoices"].count_documents({})


async def test_what_was_deleted_is_gone_after_saving(host, sync_database):
    """Saving sets fields, and takes out those that were deleted in Python."""
    await init_documents(host, Invoice)
    invoice = await made(headerNotes="Merci").insert()
    del invoice.header_notes
    await invoice.save()

    assert "headerNotes" not in sync_database["invoices"].find_one()
    assert invoice.header_notes is None


async def test_saving_a_change_moves_the_date_of_the_update(host, sync_database):
    """As Mongoose does; saving what was not changed writes the same bytes."""
    old = datetime(2020, 1, 1, tzinfo=UTC)
    document = {"_id": ObjectId(), **made(updatedAt=old).to_document()}
    sync_database["invoices"].insert_one(document)
    await init_documents(host, Invoice)
    invoice = await Invoice.get(document["_id"])
    await invoice.save()
    unchanged = invoice.updated_at
    invoice.header_notes = "Merci"
    await invoice.save()

    assert old == unchanged < invoice.updated_at


# -- hooks and fields of a host ---------------------------------------------------------------


class HookedInvoice(Invoice):
    """Its hooks read and write other documents."""

    collection_name = "hooked"

    @before_event(Update, Replace, Save, Insert)
    @after_event(Update, Replace, Save, Insert)
    async def look_elsewhere(self):
        other = await HookedInvoice.find_one({"_id": {"$ne": self.id}})
        if other is not None and other.number == "other":
            other.number = "changed"
            await other.save()
        await Client.find_all().to_list()


@pytest.mark.parametrize("way", ["save", "replace", "set", "sync"])
async def test_hooks_may_read_and_write_other_documents(host, sync_database, way):
    """The document stays itself, and is as the stored one afterwards."""
    mine, other = made(number="mine").to_document(), made(number="other").to_document()
    for document in (mine, other):
        document["_id"] = ObjectId()
    sync_database["hooked"].insert_many([other, mine])
    sync_database["clients"].insert_one({"name": "Somebody else"})
    await init_documents(host, HookedInvoice, Client)
    invoice = await HookedInvoice.get(mine["_id"])
    invoice.header_notes = "Merci"
    await (invoice.set({Invoice.footer_notes: "x"}) if way == "set" else getattr(invoice, way)())
    stored = sync_database["hooked"].find_one({"_id": mine["_id"]}, {"updatedAt": 0})
    read = {k: v for k, v in invoice.to_document().items() if k != "updatedAt"}

    assert ("mine", mine["_id"]) == (invoice.number, invoice.id)
    assert bson.encode(stored) == bson.encode(read)
    assert 2 == sync_database["hooked"].count_documents({})


class SpoilingInvoice(Invoice):
    """Its hook breaks a rule after the document was looked at."""

    collection_name = "spoiled"

    @before_event(Insert, Replace, Save)
    def spoil(self):
        self.total_ht = -5


@pytest.mark.parametrize("way", ["insert", "save"])
async def test_a_hook_that_breaks_a_rule_is_found(host, sync_database, way):
    """What is written is looked at last, after every hook."""
    await init_documents(host, SpoilingInvoice)
    with pytest.raises(ValidationError) as raised:
        await getattr(made(SpoilingInvoice), way)()

    assert {("field.number-min-0", "totalHT")} == broken(raised.value)
    assert 0 == sync_database["spoiled"].count_documents({})


class OurInvoice(Invoice):
    """An invoice with a field that the application has and the package does not know."""

    project: Text | None = None


async def test_a_host_adds_its_fields_and_uses_its_document_instead(host, sync_database):
    """Same collection, same rules, same queries; the new field is read, checked and written."""
    await init_documents(host, OurInvoice)
    invoice = await made(OurInvoice, project="Site").insert()
    (found,) = await OurInvoice.in_workspace(invoice.workspace_id).to_list()
    with pytest.raises(ValidationError) as raised:
        made(OurInvoice, project=7)

    assert ("Site", "Site") == (found.project, sync_database["invoices"].find_one()["project"])
    assert {("field.text", "project")} == broken(raised.value)
    assert "project" not in Invoice.model_fields


async def test_what_a_host_extends_still_reads_whatever_is_stored(host, sync_database):
    """Code that knows the package's document alone reads those of the host, dirt included."""
    await init_documents(host, OurInvoice)
    sync_database["invoices"].insert_one(dirty(project="Site"))
    found = await Invoice.find_one()

    assert "Site" == found.to_document()["project"]


# -- finding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [ObjectId, str, made_member])
async def test_a_workspace_is_found_however_its_id_is_given(host, sync_database, given):
    """As an ObjectId, as text or as a member, in collections that store either type."""
    await init_documents(host, Invoice, Transaction, Member, Organization)
    workspace, other = ObjectId(), ObjectId()
    for name, kind in (("invoices", ObjectId), ("transactions", str)):
        sync_database[name].insert_many([{"workspaceId": kind(w)} for w in (workspace, other)])
    sync_database["member"].insert_many([{"organizationId": w} for w in (workspace, other)])

    for model in (Invoice, Transaction, Member):
        (found,) = await model.in_workspace(given(workspace)).to_list()
        held = getattr(found, "organization_id", None) or found.workspace_id
        assert str(workspace) == str(held)


async def test_what_is_no_workspace_is_refused(host):
    """What is no id, and documents that belong to none."""
    await init_documents(host, Invoice, AccessGrant)

    for given in ("newbi", b"newbi/newbi/", None):
        with pytest.raises(UsageError, match="no ObjectId"):
            Invoice.in_workspace(given)
    with pytest.raises(UsageError, match="belong to no workspace"):
        AccessGrant.in_workspace(ObjectId())


@pytest.mark.parametrize(
    ("role", "owns"),
    [("owner", True), ("member,owner", True), ("admin", False), ("coowner", False), (7, False)],
)
async def test_an_owner_is_one_beside_other_roles_too(host, sync_database, role, owns):
    """Better Auth joins roles by commas."""
    sync_database["member"].insert_one({"role": role})
    await init_documents(host, Member)
    member = await Member.find_one()
    found = await Member.in_role("owner").to_list()

    assert (owns, owns) == (member.is_owner, bool(found))


async def test_an_invitation_expires_after_two_days(host):
    """Unless it is said otherwise; it is pending until then."""
    await init_documents(host, Invitation)
    invitation = Invitation(organization_id=ObjectId(), email="a@b.fr", inviter_id=ObjectId())

    assert timedelta(hours=47) < invitation.expires_at - datetime.now(UTC) <= timedelta(hours=48)
    assert "pending" == invitation.status


async def test_the_newest_come_first(host):
    """A field sorts under the name it has in documents, the greatest first."""
    await init_documents(host, Invoice)
    old = await made(createdAt=datetime(2020, 1, 1, tzinfo=UTC)).insert()
    new = await made().insert()

    assert [new.id, old.id] == [
        found.id for found in await Invoice.find().sort(descending(Invoice.created_at)).to_list()
    ]


# -- indexes ----------------------------------------------------------------------------------


async def test_indexes_are_built_once(host, sync_database):
    """Those the registry wants, under their names; again there is nothing to do."""
    built = await create_indexes(host, Invoice, "member")
    again = await create_indexes(host, Invoice, "member")

    assert {"invoices", "member"} == set(sync_database.list_collection_names())
    assert ("invoices", "number_workspaceId_issueYear_unique") in built.built
    assert (built.built, [], []) == (again.present, again.built, again.obstacles)
    assert built.is_complete
    assert again.is_complete


async def test_what_stands_in_the_way_of_an_index_is_told(host, sync_database):
    """Documents that share a key, and another index on it; nothing of a document is quoted."""
    same = {"number": "000001", "workspaceId": ObjectId(), "issueYear": 2025}
    sync_database["invoices"].insert_many([dict(same), dict(same)])
    sync_database["member"].create_index("organizationId", name="member_userId_idx")
    report = await create_indexes(host, "invoices", "member")

    assert ["member", "invoices"] == [obstacle.collection for obstacle in report.obstacles]
    assert not report.is_complete
    assert "same name" in report.obstacles[0].reason
    assert "the same number, workspaceId, issueYear" in report.obstacles[1].reason
    assert "000001" not in report.obstacles[1].reason
    assert 4 == sum(name == "invoices" for name, _ in report.built)


async def test_a_collection_that_is_not_described_is_refused(host, sync_database):
    """With the one that was meant, and before any index is built."""
    with pytest.raises(UsageError, match=r"No collection invoces .* Did you mean invoices\?"):
        await create_indexes(host, "member", "invoces")

    assert [] == sync_database.list_collection_names()


# -- the one place ----------------------------------------------------------------------------


def test_every_document_is_in_the_one_importable_place():
    """What the modules offer and what the package lists is the same."""
    assert set(odm.__all__) <= set(documents.__all__)
    assert all(getattr(documents, name) is not None for name in documents.__all__)
    assert [] == [name for name in documents.__all__ if name not in dir(documents)]
    with pytest.raises(AttributeError):
        documents.no_such_document  # noqa: B018


def test_the_plain_models_need_no_beanie(run_python):
    """Whoever imports one loads neither Beanie nor a driver's client."""
    loaded = run_python(
        "import sys, newbi_migrate.documents.billing; print('beanie' in sys.modules)"
    )

    assert "False" == loaded


@pytest.fixture
def run_python():
    """Runs a line in a Python of its own; gives what it printed."""
    import subprocess
    import sys

    def run(line):
        done = subprocess.run(
            [sys.executable, "-c", line], check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    return run


def test_a_line_can_be_made_on_its_own():
    """Embedded documents are importable from the same place, and need no database."""
    item = Item(description="Conseil", quantity=1, unit_price=90, vat_rate=20)

    assert ("unité", 0) == (item.unit, item.discount)
