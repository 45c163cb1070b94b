"""What migrated users with whom something was odd can do in a real Better Auth, of each version."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from better_auth_app import VERSIONS, Browser, application
from bson import ObjectId
from dirty_people import ALL, OTHER_PASSWORD, PASSWORD, PEOPLE, fill
from node_packages import modules

from newbi_migrate import Migration, MigrationOptions
from newbi_migrate.choices import DuplicatePolicy
from newbi_migrate.mapping.decisions import (
    Outcome,
)
from newbi_migrate.mapping.users import BARRED
from newbi_migrate.migration.facade import run_sync
from newbi_migrate.report.messages import SIGN_IN_CURES
from newbi_migrate.testing.server import TEST_DATABASE_PREFIX

pytestmark = [pytest.mark.node, pytest.mark.slow]

# What a plan says of somebody whom their legacy password does not let in.
REFUSED = {
    *(SIGN_IN_CURES.keys() - BARRED.values()),
    "password-none",
    "password-unknown",
    "password-not-carried",
    "password-differs",
}


@dataclass(frozen=True)
class Deployment:
    """The migrated people, the plan they were migrated by, and the application."""

    app: Any
    uri: str
    database: Any
    plan: Any

    def answer(self, name, password=None):
        """What the application answers to the legacy password, or another."""
        person = PEOPLE[name]
        typed = person.typed or person.email
        return Browser(self.app).sign_in(typed, person.password if password is None else password)

    @contextmanager
    def with_stored(self, collection, identifier, **fields):
        """Store other fields in a document for a while."""
        documents = self.database[collection]
        before = documents.find_one({"_id": identifier})
        documents.update_one({"_id": identifier}, {"$set": fields})
        yield
        documents.replace_one({"_id": identifier}, before)


@pytest.fixture(scope="module", params=VERSIONS, ids=VERSIONS.values())
def deployment(request, servers, mongod, tmp_path_factory):
    modules(request.param)  # skips before anything is built
    name = f"{TEST_DATABASE_PREFIX}{ObjectId()}"
    uri, database = mongod.uri_for(name), servers.client(mongod)[name]
    fill(database)
    with ExitStack() as stack:
        stack.callback(servers.drop, name)
        plan = run_sync(_migrated(uri))
        app = stack.enter_context(application(request.param, uri, tmp_path_factory.mktemp("app")))
        yield Deployment(app, uri, database, plan)


async def _migrated(uri):
    options = MigrationOptions(duplicate_emails=DuplicatePolicy.KEEP_NORMALIZED)
    async with Migration(uri, options=options) as migration:
        plan = await migration.plan()
        await migration.apply()
        return plan


def named(plan, codes):
    """The people whom findings with these codes are about."""
    ids = {finding.id for finding in plan.findings if finding.code in codes}
    return {person.name for person in ALL if person.ids & ids}


@pytest.mark.parametrize("person", ALL, ids=[person.name for person in ALL])
def test_each_is_answered_as_the_plan_says(deployment, person):
    """The old password lets in, as themselves, whoever the plan does not name; nobody else."""
    browser = Browser(deployment.app)
    reply = browser.sign_in(person.typed or person.email, person.password)
    quarantined = {line.legacy_id for line in deployment.plan.users if line.reason is not None}
    expected = person.name in named(deployment.plan, REFUSED) or person.legacy_id in quarantined

    assert (person.status, expected) == (reply.status, reply.status != 200), reply
    if reply.status == 200:
        session = browser.get("/get-session").body["session"]
        organizations = browser.get("/organization/list").body
        assert str(person.user_id) == session["userId"]
        assert 1 == len(organizations)


def test_the_people_become_what_they_are_called(deployment):
    """Created, merged, aliased and quarantined: each of the outcomes is among them."""
    outcomes = {line.legacy_id: line.outcome for line in deployment.plan.users}

    for person in ALL:
        expected = Outcome.CREATED
        if person.there is not None:
            expected = Outcome.ALIASED if person.elsewhere else Outcome.PRESENT
        if person.name == "twin by case":
            expected = Outcome.QUARANTINED
        assert expected is outcomes[person.legacy_id], person.name


@pytest.mark.parametrize(
    "name", ["registered again, with a password", "there already, with a password"]
)
def test_whoever_chose_a_password_keeps_it(deployment, name):
    """The password they have in Better Auth is theirs, not the legacy one."""
    assert 200 == deployment.answer(name, OTHER_PASSWORD).status


@pytest.mark.parametrize("name", ["accented", "no address", "no domain", "underscore"])
def test_a_corrected_address_lets_its_user_in(deployment, name):
    """Better Auth refuses the stored one before it looks anybody up; the cure is in user."""
    refused = deployment.answer(name)
    with deployment.with_stored("user", PEOPLE[name].user_id, email="corrected@b.fr"):
        corrected = Browser(deployment.app).sign_in("corrected@b.fr", PASSWORD)

    assert (400, "INVALID_EMAIL") == (refused.status, refused.code)
    assert 200 == corrected.status


def test_an_account_by_text_opens_once_it_names_its_user_by_id(deployment):
    """The password was right all the time, and no second account was made."""
    person = PEOPLE["account by text"]
    accounts = deployment.database["account"].count_documents({"accountId": str(person.user_id)})
    with deployment.with_stored("account", person.account_id, userId=person.user_id):
        corrected = deployment.answer(person.name)

    assert (1, 200) == (accounts, corrected.status)


@pytest.mark.parametrize("name", ["disabled", "banned"])
def test_whoever_was_kept_out_comes_in_unless_better_auth_bans_them(deployment, name):
    """That is why the plan names them: nothing else would tell."""
    person = PEOPLE[name]
    let_in = deployment.answer(name)
    with deployment.with_stored("user", person.user_id, banned=True):
        banned = deployment.answer(name)

    assert {"disabled", "banned"} == named(deployment.plan, BARRED.values())
    assert (200, 403) == (let_in.status, banned.status)


def test_a_legacy_role_opens_nothing_and_asks_for_no_second_factor(deployment):
    """Whoever was called admin in the legacy data is no administrator of Better Auth."""
    browser = Browser(deployment.app)
    person = PEOPLE["admin"]
    reply = browser.sign_in(person.email, PASSWORD)
    listed = browser.get("/admin/list-users?limit=1")
    fields = {
        f.path
        for f in deployment.plan.findings
        if f.code == "plugin-field-not-carried" and f.id == person.legacy_id
    }

    assert (200, 403) == (reply.status, listed.status)
    assert "twoFactorRedirect" not in reply.body
    assert {"role", "twoFactorEnabled"} == fields


@pytest.mark.parametrize(
    "name", ["google alone", "registered again, with google", "there already, with google"]
)
def test_who_signs_in_with_google_goes_on_doing_so(deployment, name):
    """Whether or not there is a password to carry over, nothing stands in the way."""
    person, browser = PEOPLE[name], Browser(deployment.app)
    token = {"token": f"{person.account['accountId']}|{person.email}"}
    reply = browser.post("/sign-in/social", provider="google", idToken=token)

    assert 200 == reply.status, reply
    assert str(person.user_id) == browser.get("/get-session").body["user"]["id"]


def test_numbers_are_shown_as_the_text_they_stand_for(deployment):
    """The postal code and the SIRET of the full organization are text."""
    browser, person = Browser(deployment.app), PEOPLE["numbers"]
    browser.sign_in(person.email, PASSWORD)
    (organization,) = browser.get("/organization/list").body
    browser.post("/organization/set-active", organizationId=organization["id"])
    full = browser.get("/organization/get-full-organization").body

    assert ("69001", "12345678901234") == (full["addressZipCode"], full["siret"])
    assert full["createdAt"].startswith("2024-03-05T00:00:00")


def test_where_addresses_must_be_verified_only_who_never_did_is_refused(
    deployment, request, tmp_path
):
    """A flag that was carried over is the one Better Auth asks."""
    packages = request.node.callspec.params["deployment"]
    with application(packages, deployment.uri, tmp_path, verified=True) as app:
        answers = {
            name: Browser(app).sign_in(PEOPLE[name].email, PASSWORD).status
            for name in ("plain", "registered again", "unverified")
        }

    assert {"plain": 200, "registered again": 200, "unverified": 403} == answers
