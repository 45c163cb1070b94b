"""What a validation finds after a run stood in its plan, document by document."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from bson import Decimal128, ObjectId, encode
from legacy_cases import CASES, HUGE_CASE, build_dirty_database
from small_legacy import BCRYPT, DAY, USERS, invoices, legacy_user

from newbi_migrate.documents.indexes import LIST_BESIDE_TEXT, PARALLEL_LISTS
from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Reason
from newbi_migrate.migration.facade import Migration
from newbi_migrate.migration.planning.codes import RULES, with_rules
from newbi_migrate.migration.planning.results import IndexAction
from newbi_migrate.migration.validation.report import Origin
from newbi_migrate.migration.validation.rules import STRUCTURAL
from newbi_migrate.rules import Severity

_BLOCKED = {
    "index.no-conflict": IndexAction.CONFLICT,
    "index.none-obsolete": IndexAction.OBSOLETE,
}
STRANGER = ObjectId("64b3" + "0" * 20)
_KEYS = ("key.unique", "key.not-hindered", "key.stays-unique")


@pytest.fixture
async def migration(uri):
    async with Migration(uri) as opened:
        yield opened


def planned(plan):
    """What a plan says that a validation will: the rule, and the document."""
    return {(f.rule, str(f.id)) for f in with_rules(plan.findings) if f.rule is not None}


def written(plan):
    """The documents that a plan creates or fills."""
    made = {pair for line in plan.users for pair in line.creates.items()}
    filled = {("user", line.user_id) for line in plan.users if "user" in line.fills}
    completed = {
        ("organization", line.workspace) for line in plan.users if "organization" in line.fills
    }
    return made | filled | completed


def indexes(plan):
    """What a plan says that a validation will: the rule, and where an index is concerned."""
    return {
        (rule, decision.collection)
        for decision in plan.indexes
        for rule, action in _BLOCKED.items()
        if decision.action is action
    }


def shared(plan):
    """Collections with the first document of each key that is shared."""
    return {(key.collection, str(key.documents[0][0])) for key in plan.collisions}


def is_decided_by_a_plan(finding):
    """Whether a finding is of the rules that a plan speaks of, not of a field's form alone."""
    if finding.severity is Severity.INFO:
        return False
    return finding.rule in STRUCTURAL or finding.severity is Severity.CRITICAL


async def told_before_and_after(migration):
    """The plan, what a validation finds before the run, and what it finds afterwards."""
    before, after = [], []
    plan = await migration.plan()
    await migration.validate(detailed=True, on_violation=before.append)
    await migration.apply()
    await migration.validate(detailed=True, on_violation=after.append)
    return plan, before, after


def assert_all_was_known(plan, before, after):
    """Every finding stood in the plan, or is of a field that was as it is before the run."""
    known, made = planned(plan), written(plan)
    same = {(finding.rule, finding.collection, str(finding.id)) for finding in before}
    # One without a password differs as well.
    same |= {
        ("legacy-user.password-elsewhere", "account", str(finding.id))
        for finding in plan.findings
        if finding.code in ("password-differs", "account-without-password")
    }
    of_rules = [finding for finding in after if is_decided_by_a_plan(finding)]
    of_fields = [finding for finding in after if not is_decided_by_a_plan(finding)]

    assert (
        set()
        == {
            (finding.rule, str(finding.id))
            for finding in of_rules
            if finding.rule not in (*_KEYS, *_BLOCKED)
        }
        - known
    )
    assert {
        (finding.rule, finding.collection) for finding in of_rules if finding.rule in _BLOCKED
    } == indexes(plan)
    assert {
        (finding.collection, str(finding.id)) for finding in of_rules if finding.rule in _KEYS
    } == shared(plan)
    assert (
        set()
        == {
            (finding.rule, finding.collection, str(finding.id))
            for finding in of_fields
            if (finding.collection, finding.id) not in made
        }
        - same
    )
    # And the other way round: what a plan foresees is found; of sessions an example is named.
    found = {(finding.rule, str(finding.id)) for finding in after}
    assert {"session.points-somewhere"} >= {rule for rule, _ in known - found}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_a_validation_finds_after_a_run_stood_in_its_plan(
    migration, sync_database, seed
):
    """Each document by its id, of a legacy database with all that can be odd, or some of it."""
    some = None if seed == 1 else Random(seed).sample(sorted(CASES.keys() - {HUGE_CASE}), 15)
    build_dirty_database(sync_database, seed=seed, users=4, documents_per_user=8, names=some)
    assert_all_was_known(*await told_before_and_after(migration))


def an_odd_better_auth(database, seed):
    """Better Auth's documents whose references, addresses and flags are drawn from a few."""
    draw = Random(seed)
    ids = [ObjectId(bytes([100 + n] * 12)) for n in range(6)] + USERS[:3]

    def any_id():
        one = draw.choice(ids)
        return draw.choice([one] * 6 + [str(one), None])

    def maybe(**fields):
        return {name: value for name, value in fields.items() if draw.random() < 0.8}

    emails = [f"jeanne{n}@exemple.fr" for n in range(3)] + ["Ali@exemple.fr", "zoé@b.fr", ""]
    for identifier in draw.sample(ids, 5):
        flags = {
            name: draw.choice([True, False])
            for name in ("emailVerified", "isEmailVerified", "isActive", "isDisabled")
        }
        pointer = {"workspaceId": "x"} if draw.random() < 0.2 else {}
        named = maybe(email=draw.choice(emails), name="Ali", **flags)
        database["user"].insert_one({"_id": identifier, **named, **pointer})
    for identifier in draw.sample(ids, 4):
        slug = draw.choice(["un", "deux", " "])
        database["organization"].insert_one({"_id": identifier, **maybe(slug=slug, name="Atelier")})
    for _ in range(8):
        role = draw.choice(["owner", "member", "admin, owner"])
        # An organization that a run is to make may have had members before.
        where = draw.choice([any_id(), organization_id(draw.choice(USERS[:3]))])
        database["member"].insert_one({"organizationId": where, "userId": any_id(), "role": role})
        account = draw.choice(ids)
        database["account"].insert_one(
            {
                "userId": draw.choice([account] * 4 + [str(account)]),
                "accountId": draw.choice([str(account)] * 3 + ["other"]),
                "providerId": draw.choice(["credential", "google"]),
                **maybe(password=BCRYPT),
            }
        )
        database["session"].insert_one({"activeOrganizationId": any_id()})


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_odd_about_better_auths_documents_stood_in_the_plan(
    migration, sync_database, seed
):
    """As it is after the run, which creates some of whom memberships name; no more and no less."""
    sync_database["Users"].insert_many([legacy_user(n) for n in range(3)])
    an_odd_better_auth(sync_database, seed)
    assert_all_was_known(*await told_before_and_after(migration))


@pytest.mark.parametrize(
    ("roles", "without"), [(["member"], True), (["admin"], True), (["member", "owner"], False)]
)
async def test_a_membership_that_stood_before_its_organization_keeps_its_role(
    migration, sync_database, roles, without
):
    """Who is no owner by it is made none; plan, run and validation name the organization alike."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    home = organization_id(USERS[0])
    memberships = [{"organizationId": home, "userId": USERS[0], "role": role} for role in roles]
    # The organization of somebody else does not lack its owner for it.
    guest = {"organizationId": organization_id(USERS[1]), "userId": USERS[0], "role": "member"}
    sync_database["member"].insert_many([*memberships, guest])
    plan = await migration.plan()
    result, again = await migration.apply(), await migration.apply()
    report = await migration.validate(only=["organization.has-owner"])
    sync_database["member"].update_one({"userId": USERS[1]}, {"$set": {"role": "member"}})
    harmed = await migration.validate(only=["organization.has-owner"])

    named = [home] if without else []
    for answer in (plan, result, again):
        assert named == [f.id for f in answer.findings if f.code == "organization-without-owner"]
    assert [(home, Origin.BEFORE) for home in named] == [
        (v.id, v.origin) for v in report.violations
    ]
    assert ExitCode.DONE is report.exit_code
    assert [(organization_id(USERS[1]), Origin.RUN)] == [
        (v.id, v.origin) for v in harmed.violations if v.origin is not Origin.BEFORE
    ]


@pytest.mark.parametrize("user", [USERS[0], USERS[1], STRANGER], ids=["new", "member", "nobody"])
async def test_a_membership_that_names_a_list_is_none_of_the_users_in_it(
    migration, sync_database, user
):
    """A query for a user finds the list that holds them; the application sees no membership."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    sync_database["organization"].insert_one({"_id": HOME, "name": "Atelier", "slug": "a"})
    members = [{"userId": [user]}, {"userId": STRANGER}, *({"userId": USERS[1]} for _ in range(2))]
    sync_database["member"].insert_many(
        [{"organizationId": HOME, "role": "owner", **member} for member in members]
    )
    plan, before, after = await told_before_and_after(migration)

    assert_all_was_known(plan, before, after)
    codes = Counter(f.code for f in plan.findings if f.collection == "member")
    assert {"member-ids-not-objectid": 1, "member-is-nobody": 1, "member-twice": 1} == codes


async def test_every_rule_that_a_plan_names_is_one(migration, sync_database):
    """A reader of the JSON looks it up in the reference of the rules."""
    sync_database["Users"].insert_one(legacy_user(0))
    report = await migration.validate()
    named = {rule.format(collection="user") for rule in RULES.values()}
    fields = {"field.document-id", "field.owner-id", "account.credential-password"}

    assert named <= STRUCTURAL.keys() | fields
    assert report.checked > len(named)


async def test_an_owner_who_is_no_objectid_is_named_and_the_workspace_set(migration, sync_database):
    """The application does not find the document by its owner; that of an unknown owner waits."""
    sync_database["Users"].insert_one(legacy_user(0))
    texts = sync_database["invoices"].insert_many(invoices(str(USERS[0]), 2)).inserted_ids
    sync_database["invoices"].insert_many(invoices("nobody", 1))
    unscoped = sync_database["integrations"].insert_one({"userId": str(USERS[0])}).inserted_id
    plan = await migration.plan()
    result = await migration.apply()
    expected = [
        *(("owner-not-objectid", "invoices", i, "createdBy") for i in texts),
        ("user-field-not-objectid", "integrations", unscoped, "userId"),
    ]

    for findings in (plan.findings, result.findings):
        told = [f for f in findings if f.code in ("owner-not-objectid", "user-field-not-objectid")]
        assert expected == [(f.code, f.collection, f.id, f.path) for f in told]
    assert 2 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})


@pytest.mark.parametrize("field", ["workspaceId", "documentType"])
async def test_null_beside_missing_is_one_key(migration, sync_database, field):
    """An index makes no difference between the two, so neither do a plan and a validation."""
    sync_database["Users"].insert_one(legacy_user(0))
    # Whoever has no owner gets no workspace.
    named = {"documentType": "INVOICE"} if field == "workspaceId" else {"createdBy": USERS[0]}
    documents = [{**named, field: None}, {**named}]
    ids = sync_database["documentsettings"].insert_many(documents).inserted_ids
    plan = await migration.plan()
    await migration.apply()
    report = await migration.validate(only=["key.*"])

    assert [ids] == [[i for i, _ in key.documents] for key in plan.collisions]
    assert [field == "workspaceId"] == [key.in_no_workspace for key in plan.collisions]
    assert 1 == sum(result.count for result in report.results)


async def test_what_is_quarantined_names_the_quarantined_user_it_belongs_to(
    migration, sync_database
):
    """Whatever the type of the user's id, in the list and where documents share a key."""
    odd = legacy_user(1, _id="user-1")
    sync_database["Users"].insert_many([legacy_user(0, email=""), odd, legacy_user(2)])
    for owner in (USERS[0], str(USERS[0]), "user-1"):
        sync_database["invoices"].insert_many(invoices(owner, 1, issueYear=2024))
    sync_database["invoices"].insert_many(invoices("nobody", 1, number="7"))
    plan = await migration.plan()
    result = await migration.apply()
    expected = [USERS[0], USERS[0], "user-1", None]

    for quarantine in (plan.quarantine, result.quarantine):
        of_id = {d.id: d.user for d in quarantine if d.collection == "invoices"}
        assert expected == [of_id[d["_id"]] for d in sync_database["invoices"].find().sort("_id")]
    (key,) = plan.collisions
    assert (3, True, expected[:3]) == (
        key.count,
        key.in_no_workspace,
        [user for _, user in key.documents],
    )


async def test_documents_that_wait_are_counted_with_their_users(migration, sync_database):
    """So that a person begins with the cause: settle the user, and the documents follow."""
    sync_database["Users"].insert_many([legacy_user(0, email=""), legacy_user(1)])
    sync_database["invoices"].insert_many(invoices(USERS[0], 3))
    sync_database["quotes"].insert_many(invoices(USERS[0], 2))
    plan = await migration.plan()

    ((_, waiting),) = plan.quarantine.of_users().items()
    assert {"invoices": 3, "quotes": 2} == waiting


async def test_a_key_that_is_shared_later_is_named_before(migration, sync_database):
    """The index can be built; once the application adds the year of issue it no longer could."""
    sync_database["Users"].insert_one(legacy_user(0))
    fields = {"number": "000001", "issueDate": DAY}
    ids = (
        sync_database["invoices"]
        .insert_many(
            [{"createdBy": USERS[0], **fields, **more} for more in ({}, {"issueYear": 2024})]
        )
        .inserted_ids
    )
    plan = await migration.plan()

    assert [(True, ids)] == [(key.later, [i for i, _ in key.documents]) for key in plan.collisions]
    assert IndexAction.COLLISION not in {decision.action for decision in plan.indexes}


async def test_keys_shared_by_documents_whose_ids_are_no_objectids_are_named(
    migration, sync_database
):
    """An id that is a decimal or a document is compared as any other, though it has no hash."""
    sync_database["Users"].insert_one(legacy_user(0))
    shared_now = [{**each, "number": "000001"} for each in invoices(USERS[0], 2)]
    ids = [Decimal128("1.5"), {"a": 1}]
    sync_database["invoices"].insert_many(
        [{**each, "_id": i} for each, i in zip(shared_now, ids, strict=True)]
    )

    plan = await migration.plan()

    assert [("invoices", 2)] == [(key.collection, key.count) for key in plan.collisions]


@pytest.mark.parametrize(
    ("fields", "name", "reason"),
    [
        ({}, "workspaceId_1_vendor_text", LIST_BESIDE_TEXT),
        ({"category": []}, "workspaceId_1_category_1", PARALLEL_LISTS),
    ],
)
async def test_an_index_that_no_server_builds_over_a_list_is_foreseen(
    migration, sync_database, fields, name, reason
):
    """A quarantined document keeps the list; a second run has nothing left to try.

    The list was there before, so nothing speaks for a rollback.
    """
    sync_database["Users"].insert_one(legacy_user(0))
    owners = {"mine": USERS[0], "nobodys": ObjectId()}
    sync_database["expenses"].insert_many(
        [{"_id": i, "createdBy": owner, "workspaceId": [], **fields} for i, owner in owners.items()]
    )
    plan = await migration.plan()
    first, second = await migration.apply(), await migration.apply()
    found = (await migration.validate(only=["index.present"])).results

    planned = {d.spec.name: d for d in plan.indexes if d.action is IndexAction.COLLISION}
    assert reason == planned[name].reason
    assert {*planned} == {d.spec.name for d in first.indexes if d.action is IndexAction.COLLISION}
    assert (True, None) == (first.run_id is not None, second.run_id)
    assert sync_database["expenses"].find_one({"_id": "mine"})["workspaceId"] != []
    assert {Origin.BEFORE} == {broken.origin for broken in found}
    assert f"{name}: {reason}" in [note.note for broken in found for note in broken.examples]


@pytest.mark.parametrize("documents_only", [False, True])
async def test_late_documents_that_an_index_refuses_are_quarantined_by_the_plan(
    migration, sync_database, documents_only
):
    """One has the number of an invoice that is there; of two with a new one, one gets it."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    await migration.apply()
    there = sync_database["invoices"].find_one({"number": "000001"})
    # The index refuses a second one without a workspace, and takes one whose workspace is blank.
    blank = {"workspaceId": ""}
    numbers = [(there["number"], {}), ("new", {}), ("new", blank), ("alone", {})]
    late = (
        sync_database["invoices"]
        .insert_many([{"createdBy": USERS[0], "number": n, **more} for n, more in numbers])
        .inserted_ids
    )
    run = migration.backfill if documents_only else migration.apply
    plan = await migration.plan(documents_only=documents_only)
    result = await run()
    again = await migration.plan(documents_only=documents_only)
    report = await migration.validate(only=["document.*", "run.*"])

    for found in (plan, result, again):
        assert [Reason.UNIQUE_KEY] * 2 == [q.reason for q in found.quarantine]
        first, second = sorted(q.id for q in found.quarantine)
        assert (first, second in late[1:3]) == (late[0], True)
    planned, done, left = (each.collections["invoices"] for each in (plan, result, again))
    assert ((2, 2), (2, 2), (0, 2)) == (
        (planned.stamped, planned.quarantined),
        (done.stamped, done.quarantined),
        (left.stamped, left.quarantined),
    )
    assert (5, 5, False) == (plan.exit_code, result.exit_code, again.pending)
    assert (0, {Reason.UNIQUE_KEY: 2}) == (report.exit_code, report.quarantine["invoices"])


ALIASED, HOME = ObjectId("64b1" + "0" * 20), ObjectId("64b2" + "0" * 20)


def signed_up_anew(database):
    """A legacy user who signed up anew: their documents name the new user after a run."""
    database["Users"].insert_one(legacy_user(0))
    database["user"].insert_one(
        {"_id": ALIASED, "email": "jeanne0@exemple.fr", "name": "Jeanne", "emailVerified": True}
    )
    database["organization"].insert_one({"_id": HOME, "slug": "atelier", "name": "Atelier"})
    member = {"_id": ObjectId(), "userId": ALIASED, "organizationId": HOME, "role": "owner"}
    database["member"].insert_one(member)


UNIQUE = {
    "of the old structure": ([("number", 1), ("createdBy", 1)], {}, str),
    "of the old structure, scoped": ([("workspaceId", 1), ("number", 1)], {}, str),
    "of nobody's description": ([("reference", 1), ("workspaceId", 1)], {}, str),
    "partial, by the workspace": (
        [("reference", 1)],
        {"partialFilterExpression": {"workspaceId": {"$type": "objectId"}}},
        str,
    ),
    "partial, by the owner": (
        [("reference", 1)],
        {"partialFilterExpression": {"createdBy": ALIASED}},
        str,
    ),
    "sparse": ([("workspaceId", 1), ("reference", 1)], {"sparse": True}, str),
    "that compares texts": (
        [("workspaceId", 1), ("reference", 1)],
        {"collation": {"locale": "fr", "strength": 2}},
        str.upper,
    ),
}


@pytest.mark.parametrize("name", UNIQUE)
async def test_what_any_unique_index_refuses_is_quarantined_by_the_plan(
    migration, sync_database, name
):
    """Not only those that the registry wants: whatever is there refuses the same documents."""
    keys, options, other = UNIQUE[name]
    signed_up_anew(sync_database)
    quotes = sync_database["quotes"]
    quotes.create_index(keys, unique=True, name="of_the_test", **options)
    same = {"number": "a-1", "reference": "dossier"}
    theirs = {"_id": 1, "createdBy": ALIASED, "workspaceId": HOME, "issueYear": 2025, **same}
    late = {"_id": 2, "createdBy": USERS[0], "issueYear": 2024, **same}
    late["reference"] = other(late["reference"])
    quotes.insert_many([theirs, late, {**late, "_id": 3, "number": "2", "reference": "autre"}])
    plan = await migration.plan()
    result = await migration.apply()
    again = await migration.apply()

    seen = plan.collections["quotes"]
    assert (1, 1, 1) == (seen.stamped, seen.owners_rewritten, seen.quarantined)
    for found in (plan, result):
        assert [(Reason.UNIQUE_KEY, 2)] == [(one.reason, one.id) for one in found.quarantine]
    assert seen == result.collections["quotes"]
    assert again.run_id is None


LATER = {
    "of workspaces that are text": (
        "transactions",
        [("workspaceId", 1), ("reference", 1)],
        {"partialFilterExpression": {"workspaceId": {"$type": "string"}}},
        [{"userId": str(USERS[0]), "reference": "r"}] * 2,
    ),
    "of what has a workspace": (
        "quotes",
        [("reference", 1)],
        {"partialFilterExpression": {"workspaceId": {"$exists": True}}},
        [{"createdBy": user, "reference": "r"} for user in USERS[:2]],
    ),
    "of what is a user's": (
        "quotes",
        [("reference", 1)],
        {"partialFilterExpression": {"createdBy": ALIASED}},
        [{"createdBy": USERS[0], "reference": "r"}] * 2,
    ),
    "that calls more texts equal": (
        "quotes",
        [("workspaceId", 1), ("number", 1)],
        {
            "partialFilterExpression": {"workspaceId": {"$exists": True}},
            "collation": {"locale": "fr", "strength": 2},
        },
        [{"createdBy": USERS[0], "number": number} for number in "aA"],
    ),
}


@pytest.mark.parametrize("name", LATER)
async def test_an_index_that_holds_more_after_the_run_refuses_in_the_plan_what_it_refuses_then(
    migration, sync_database, name
):
    """What it holds before, or another one keeps unique for each owner, says nothing of that."""
    collection, keys, options, documents = LATER[name]
    signed_up_anew(sync_database)
    sync_database["Users"].insert_one(legacy_user(1))
    sync_database["quotes"].create_index([("number", 1), ("createdBy", 1)], unique=True)
    sync_database[collection].create_index(keys, unique=True, name="of_the_test", **options)
    sync_database[collection].insert_many(
        [{"number": str(n), **one, "issueYear": 2024 + n} for n, one in enumerate(documents)]
    )
    plan = await migration.plan()
    result, again = await migration.apply(), await migration.apply()

    assert {(collection, Reason.UNIQUE_KEY): 1} == plan.quarantine.counts()
    assert list(plan.quarantine) == list(result.quarantine)
    assert plan.collections[collection] == result.collections[collection]
    assert (plan.exit_code, None) == (result.exit_code, again.run_id)


async def test_an_owner_that_an_index_refuses_is_quarantined_by_the_plan(migration, sync_database):
    """Of a document that is in its workspace already, which then counts as lacking none."""
    signed_up_anew(sync_database)
    quotes = sync_database["quotes"]
    quotes.create_index([("number", 1), ("createdBy", 1)], unique=True)
    for owner, year in ((str(ALIASED), 2025), (str(USERS[0]), 2024)):
        quotes.insert_one(
            {"createdBy": owner, "workspaceId": HOME, "number": "1", "issueYear": year}
        )
    plan = await migration.plan()
    result = await migration.apply()
    status = await migration.status()

    seen = plan.collections["quotes"]
    assert (0, 0, 1) == (seen.stamped, seen.owners_rewritten, seen.quarantined)
    assert seen == result.collections["quotes"]
    assert [Reason.UNIQUE_KEY] == [reason for _, reason in plan.quarantine.counts()]
    assert status.quarantined == status.without_workspace


async def test_a_collection_that_is_full_of_indexes_is_foreseen(migration, sync_database):
    """What the server has no room for is no index of the plan, of the run nor of a validation."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database["invoices"].insert_many(invoices(USERS[0], 2))
    for number in range(62):
        sync_database["invoices"].create_index(f"field{number}")
    plan, before, after = await told_before_and_after(migration)
    full = {d.name for d in plan.indexes if d.action is IndexAction.CONFLICT}

    assert full
    assert 64 == len(sync_database["invoices"].index_information())
    for found in (before, after):
        assert full == {f.note.partition(":")[0] for f in found if f.rule == "index.no-conflict"}
    assert not [finding for finding in after if finding.rule == "index.present"]


@pytest.mark.parametrize("room", [24, 25])
async def test_a_document_without_room_for_its_workspace_is_quarantined_by_the_plan(
    migration, sync_database, room
):
    """The name and the id take 25 bytes; the server refuses what is larger than 16 MiB.

    A second run has nothing left to try, and the first one can be taken back.
    """
    sync_database["Users"].insert_one(legacy_user(0))
    large = {"_id": ObjectId(), "userId": USERS[0], "text": ""}
    large["text"] = "x" * (16 * 2**20 - len(encode(large)) - room)
    sync_database["boards"].insert_many([large, {"userId": USERS[0]}])
    plan = await migration.plan()
    result, again = await migration.apply(), await migration.apply()
    validated = await migration.validate()

    fits = {} if room == 25 else {("boards", Reason.DOCUMENT_TOO_LARGE): 1}
    assert fits == plan.quarantine.counts() == result.quarantine.counts()
    assert plan.exit_code is result.exit_code
    assert None is again.run_id
    assert fits == {
        (name, reason): number
        for name, reasons in validated.quarantine.items()
        for reason, number in reasons.items()
    }
    assert ExitCode.DONE is validated.exit_code


async def test_an_owner_stored_as_extended_json_has_the_users_workspace_in_a_key(
    migration, sync_database
):
    """Such a document is stamped, and shares no key with one that stays without a workspace."""
    sync_database["Users"].insert_one(legacy_user(0))
    same = {"number": "7", "issueYear": 2024}
    owners = [{"$oid": str(USERS[0])}, str(USERS[0]), USERS[0]]
    mine = [
        {**same, "number": str(n), "createdBy": owner} for n, owner in enumerate(owners, start=7)
    ]
    nobodys = [{**each, "createdBy": "nobody"} for each in mine]
    sync_database["invoices"].insert_many([*mine, *nobodys])
    plan = await migration.plan()
    await migration.apply()

    assert () == plan.collisions
    assert 3 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})
    assert IndexAction.COLLISION not in {decision.action for decision in plan.indexes}


NUMBERED = {"$jsonSchema": {"properties": {"number": {"bsonType": "string"}}}}
ODD = {"createdBy": USERS[0], "number": 7}


@pytest.fixture
def refusing(sync_database):
    """A collection with two documents that its validator refuses, one of which has it already."""

    def make(validator=NUMBERED, **options):
        sync_database["Users"].insert_one(legacy_user(0))
        documents = [*invoices(USERS[0], 2), {**ODD, "_id": 1}, {**ODD, "_id": "two"}]
        sync_database["invoices"].insert_many(documents)
        sync_database.command("collMod", "invoices", validator=validator, **options)

    return make


async def counted_alike(migration):
    """What a plan quarantines, once the run did and a validation found the same."""
    plan = await migration.plan()
    result, again = await migration.apply(), await migration.apply()
    validated = await migration.validate()
    found = plan.quarantine.counts()

    assert found == result.quarantine.counts()
    assert (plan.exit_code, None) == (result.exit_code, again.run_id)
    assert found == {
        (name, reason): number
        for name, reasons in validated.quarantine.items()
        for reason, number in reasons.items()
    }
    assert ExitCode.DONE is validated.exit_code
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"validationLevel": "strict", "validationAction": "error"},
        {"validator": {"$or": [{"number": {"$type": "string"}}, {"workspaceId": None}]}},
        {"validator": {"$expr": {"$eq": [{"$type": "$number"}, "string"]}}},
        # A moderate one lets alone what broke it before; these break it with their workspace.
        {
            "validator": {"$or": [{"number": {"$type": "string"}}, {"workspaceId": None}]},
            "validationLevel": "moderate",
        },
    ],
)
async def test_a_document_that_a_validator_refuses_is_quarantined_by_the_plan(
    migration, refusing, sync_database, options
):
    """A second run has nothing left to try, until the validator or the document is put right."""
    refusing(**options)
    found = await counted_alike(migration)
    sync_database.command("collMod", "invoices", validator={})

    assert {("invoices", Reason.WRITE_REFUSED): 2} == found
    assert (await migration.plan()).pending
    assert 4 == (await migration.apply()).collections["invoices"].documents
    assert 4 == sync_database["invoices"].count_documents({"workspaceId": {"$exists": True}})


@pytest.mark.parametrize(
    "options",
    [
        {"validationLevel": "moderate"},
        {"validationLevel": "off"},
        {"validationAction": "warn"},
        {"validator": {"workspaceId": {"$exists": True}}},
    ],
)
async def test_a_validator_that_lets_a_run_write_is_none_of_the_plan(migration, refusing, options):
    """It only warns, or does not ask what broke it before, or is content once a run has written."""
    refusing(**options)

    assert {} == await counted_alike(migration)


DEEP = {"number": {"$type": "string"}}
for _ in range(99):
    DEEP = {"$and": [DEEP]}
FAILING = {"$expr": {"$gt": [{"$strLenBytes": "$number"}, 0]}}


HUGE = {
    "$or": [{"number": {"$type": "string"}}, {"_id": {"$in": [ObjectId() for _ in range(60_000)]}}]
}


@pytest.mark.parametrize("validator", [DEEP, FAILING, HUGE], ids=["deep", "failing", "huge"])
async def test_a_validator_that_cannot_be_asked_is_left_to_the_server(
    migration, refusing, validator
):
    """The run learns what is refused, and the way back is open."""
    refusing(validator)
    plan = await migration.plan()
    result = await migration.apply()
    back = await migration.rollback(dry_run=True)

    assert {} == plan.quarantine.counts()
    assert {("invoices", Reason.WRITE_REFUSED): 2} == result.quarantine.counts()
    assert ExitCode.DONE is back.exit_code


async def test_a_validator_compares_texts_as_its_collection_does(migration, sync_database):
    """With the simple comparison, both documents would be refused."""
    sync_database["Users"].insert_one(legacy_user(0))
    sync_database.create_collection("invoices", collation={"locale": "fr", "strength": 1})
    states = [{"status": "PAID"}, {"status": "draft"}]
    bills = invoices(USERS[0], 2)
    sync_database["invoices"].insert_many([a | b for a, b in zip(bills, states, strict=True)])
    sync_database.command("collMod", "invoices", validator={"status": "paid"})

    assert {("invoices", Reason.WRITE_REFUSED): 1} == await counted_alike(migration)


async def test_a_list_of_ids_names_no_companion(migration, sync_database):
    """Whatever type its collection is supposed to hold there; it stopped a plan."""
    sync_database["Users"].insert_many([legacy_user(0), legacy_user(1)])
    bill = {"_id": ObjectId(), **invoices(USERS[0], 1)[0]}
    sync_database["invoices"].insert_one(bill)
    event = {"userId": USERS[1], "invoiceId": [bill["_id"]]}
    sync_database["events"].insert_many([event, {"userId": USERS[1], "invoiceId": bill["_id"]}])
    plan = await migration.plan()
    await migration.apply()
    report = await migration.validate()
    elsewhere = [f for f in with_rules(plan.findings) if f.path == "invoiceId"]
    told = [v for r in report.results for v in r.examples if v.collection == "events"]

    assert 1 == len(elsewhere)
    assert {elsewhere[0].id} == {v.id for v in told if v.rule == elsewhere[0].rule}
