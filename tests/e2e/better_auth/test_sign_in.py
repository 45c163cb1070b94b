"""What migrated users can do in a real Better Auth, of each version that is written for."""

from __future__ import annotations

import pytest
from better_auth_app import VERSIONS, Browser
from bson import ObjectId

from newbi_migrate.documents.better_auth import Account, Member, Organization, User

pytestmark = [pytest.mark.node, pytest.mark.slow]

NEW_PASSWORD = "Tout-Nouveau-2026!"


@pytest.fixture(scope="module", params=VERSIONS, ids=VERSIONS.values())
def deployment(deploy, request):
    return deploy(request.param)


def everybody(deployment):
    return range(len(deployment.legacy.users))


# -- signing in -------------------------------------------------------------------------------


def test_every_migrated_user_signs_in_with_their_old_password(deployment):
    """A bcrypt hash carried over lets in whoever knows the password, as that user."""
    for position in everybody(deployment):
        browser = deployment.signed_in(position)
        session = browser.get("/get-session").body

        assert str(deployment.legacy.users[position]["_id"]) == session["session"]["userId"]
        assert deployment.person(position)[0] == session["user"]["email"]


def test_a_wrong_password_is_refused(deployment):
    """Neither a made-up password, nor nothing, nor the hash itself lets anybody in."""
    email, right = deployment.person(0)
    stored = deployment.legacy.users[0]["password"]
    for wrong in ("wrong", right + "x", right.swapcase(), stored, " "):
        reply = Browser(deployment.app).sign_in(email, wrong)

        assert 401 == reply.status, wrong


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_every_form_of_bcrypt_lets_its_owner_in(deployment, prefix):
    """The three prefixes name one algorithm, and the documented verify takes all of them."""
    email, password = deployment.person(2)
    accounts, owner = deployment.database["account"], {"userId": deployment.legacy.users[2]["_id"]}
    stored = accounts.find_one(owner)["password"]
    accounts.update_one(owner, {"$set": {"password": prefix + stored[4:]}})
    reply = Browser(deployment.app).sign_in(email, password)
    accounts.update_one(owner, {"$set": {"password": stored}})

    assert 200 == reply.status


def test_an_email_is_found_however_it_is_typed(deployment):
    """Addresses are stored as Better Auth looks them up, so capitals do not matter."""
    email, password = deployment.person(2)

    assert 200 == Browser(deployment.app).sign_in(email.upper(), password).status


def test_nobody_can_sign_up_with_the_address_of_a_migrated_user(deployment):
    """A migrated user is a user: their address is taken."""
    email, _ = deployment.person(3)
    reply = Browser(deployment.app).post(
        "/sign-up/email", email=email.upper(), password=NEW_PASSWORD, name="Autre"
    )

    assert (422, 1) == (reply.status, deployment.database["user"].count_documents({"email": email}))


def test_a_changed_password_takes_the_place_of_the_old_one(deployment):
    """After a change the hash is scrypt, the new password works and the old one does not."""
    position = 3
    email, old = deployment.person(position)
    browser = deployment.signed_in(position)
    changed = browser.post("/change-password", currentPassword=old, newPassword=NEW_PASSWORD)
    account = deployment.database["account"].find_one(
        {"userId": deployment.legacy.users[position]["_id"]}
    )
    with_new = Browser(deployment.app).sign_in(email, NEW_PASSWORD)
    with_old = Browser(deployment.app).sign_in(email, old)
    back = browser.post("/change-password", currentPassword=NEW_PASSWORD, newPassword=old)

    assert (200, 200, 401, 200) == (changed.status, with_new.status, with_old.status, back.status)
    assert not account["password"].startswith("$2")


def test_a_migrated_user_adds_google_and_takes_it_away_again(deployment):
    """Accounts are listed, linked and unlinked beside the one that was made, in every version."""
    email, password = deployment.person(1)
    browser, google = deployment.signed_in(1), f"google-{ObjectId()}"
    token = {"token": f"{google}|{email}"}
    linked = browser.post("/link-social", provider="google", idToken=token)
    accounts = browser.get("/list-accounts").body
    other = Browser(deployment.app)
    with_google = other.post("/sign-in/social", provider="google", idToken=token)
    who = other.get("/get-session").body["user"]["id"]
    (theirs,) = (a["id"] for a in accounts if a["accountId"] == google)
    unlinked = browser.post(
        "/unlink-account",
        providerId="google",
        accountId=google if "1.3" in deployment.packages else theirs,
    )
    left = browser.get("/list-accounts").body

    assert (200, 200, 200) == (linked.status, with_google.status, unlinked.status), unlinked
    assert str(deployment.legacy.users[1]["_id"]) == who
    assert (2, [who]) == (len(accounts), [account["accountId"] for account in left])
    assert 200 == Browser(deployment.app).sign_in(email, password).status


# -- organizations ----------------------------------------------------------------------------


def test_every_migrated_user_sees_exactly_their_organization(deployment):
    """One organization each, the one the plan names, and nobody else's."""
    for position in everybody(deployment):
        seen = deployment.signed_in(position).get("/organization/list").body

        assert [deployment.workspace(position)] == [organization["id"] for organization in seen]


def test_every_migrated_user_is_owner_of_the_organization_they_make_active(deployment):
    """It can be made active, the session says so, and the member there is an owner."""
    for position in everybody(deployment):
        browser = deployment.signed_in(position)
        workspace = deployment.workspace(position)
        reply = browser.post("/organization/set-active", organizationId=workspace)
        session = browser.get("/get-session").body["session"]
        member = browser.get("/organization/get-active-member").body

        assert (200, workspace) == (reply.status, session["activeOrganizationId"])
        assert ("owner", workspace) == (member["role"], member["organizationId"])


def test_the_full_organization_shows_the_company_where_the_application_reads_it(deployment):
    """Company fields are at the top level, and the only member is that user."""
    browser = deployment.signed_in(0)
    browser.post("/organization/set-active", organizationId=deployment.workspace(0))
    full = browser.get("/organization/get-full-organization").body
    company = deployment.legacy.users[0]["company"]

    assert company["name"] == full["companyName"]
    assert company["address"]["postalCode"] == full["addressZipCode"]
    assert [str(deployment.legacy.users[0]["_id"])] == [m["userId"] for m in full["members"]]


def test_nobody_can_make_the_organization_of_another_active(deployment):
    """Membership decides: a stranger's organization is refused."""
    reply = deployment.signed_in(0).post(
        "/organization/set-active", organizationId=deployment.workspace(1)
    )

    assert reply.status in (400, 403)


def test_an_owner_invites_somebody_who_then_belongs_to_their_organization(deployment):
    """Invitation, sign-up, acceptance: afterwards the guest sees the host's organization."""
    host, guest = deployment.signed_in(3), Browser(deployment.app)
    workspace, email = deployment.workspace(3), f"invite-{ObjectId()}@exemple.fr"
    host.post("/organization/set-active", organizationId=workspace)
    invited = host.post("/organization/invite-member", email=email, role="member")
    guest.post("/sign-up/email", email=email, password=NEW_PASSWORD, name="Invité")
    accepted = guest.post("/organization/accept-invitation", invitationId=invited.body["id"])
    seen = guest.get("/organization/list").body

    assert (200, 200) == (invited.status, accepted.status)
    assert [workspace] == [organization["id"] for organization in seen]


def test_an_owner_may_rename_their_organization_and_its_company_survives(deployment):
    """An update by the application keeps the fields that the migration wrote."""
    browser, workspace = deployment.signed_in(2), deployment.workspace(2)
    before = deployment.database["organization"].find_one({"_id": ObjectId(workspace)})
    reply = browser.post(
        "/organization/update", organizationId=workspace, data={"name": "Nouveau nom"}
    )
    after = deployment.database["organization"].find_one({"_id": ObjectId(workspace)})

    assert 200 == reply.status
    assert {**before, "name": "Nouveau nom"} == {**after, "name": after["name"]}


# -- documents --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [User, Account, Organization, Member])
def test_documents_are_of_the_form_better_auth_gives_its_own(deployment, model):
    """Every field Better Auth writes at a sign-up is there, in the same BSON type."""
    browser, mark = Browser(deployment.app), str(ObjectId())
    browser.post(
        "/sign-up/email", email=f"neuf-{mark}@exemple.fr", password=NEW_PASSWORD, name="Neuf"
    )
    user = browser.get("/get-session").body["user"]["id"]
    made = browser.post("/organization/create", name="Neuve", slug=f"neuve-{mark}").body
    collection = deployment.database[model.collection_name]
    wanted = {
        "user": {"_id": ObjectId(user)},
        "account": {"userId": ObjectId(user)},
        "organization": {"_id": ObjectId(made["id"])},
        "member": {"organizationId": ObjectId(made["id"])},
    }
    position = 1
    migrated = {
        "user": {"_id": deployment.legacy.users[position]["_id"]},
        "account": {"userId": deployment.legacy.users[position]["_id"]},
        "organization": {"_id": ObjectId(deployment.workspace(position))},
        "member": {"organizationId": ObjectId(deployment.workspace(position))},
    }
    native = collection.find_one(wanted[model.collection_name])
    ours = collection.find_one(migrated[model.collection_name])
    # Flags that are off: newer versions store them, and read their absence as off.
    needed = {name: type(value) for name, value in native.items() if value is not False}

    assert needed == {name: type(ours.get(name)) for name in needed}


def test_better_auth_builds_its_own_indexes_on_what_was_migrated(deployment):
    """Unique addresses, slugs and memberships hold in its eyes too; it logs no error."""
    deployment.signed_in(0).get("/organization/list")
    unique = {
        (name, tuple(key for key, _ in index["key"]))
        for name in ("user", "organization", "member")
        for index in deployment.database[name].index_information().values()
        if index.get("unique")
    }

    assert {
        ("user", ("email",)),
        ("organization", ("slug",)),
        ("member", ("organizationId", "userId")),
    } <= unique


# -- what would go wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packages", "statuses"),
    [
        ("better-auth-1.3", {500}),
        ("better-auth-1.7.2", {401, 500}),
        ("better-auth-newest", {401, 500}),
    ],
)
def test_without_the_documented_verify_nobody_can_sign_in(deploy, packages, statuses):
    """Better Auth alone understands no bcrypt: every right password is refused."""
    deployment = deploy(packages, shared="looked at", verify=False)
    answers = {
        Browser(deployment.app).sign_in(*deployment.person(position)).status
        for position in everybody(deployment)
    }

    assert answers <= statuses


@pytest.mark.parametrize("packages", VERSIONS)
def test_verified_addresses_stay_verified_where_the_application_demands_it(deploy, packages):
    """With verification required, those who had verified get in, and only they."""
    deployment = deploy(packages, shared="looked at", verified=True)
    answers = [
        Browser(deployment.app).sign_in(*deployment.person(position))
        for position in everybody(deployment)
    ]

    expected = [200 if user["isEmailVerified"] else 403 for user in deployment.legacy.users]

    assert {200, 403} == set(expected)
    assert expected == [answer.status for answer in answers]
