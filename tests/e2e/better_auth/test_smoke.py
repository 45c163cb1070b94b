"""The command `smoke` against real Better Auth applications."""

from __future__ import annotations

import pytest
from better_auth_app import VERSIONS

from newbi_migrate.smoke import STEPS, smoke

pytestmark = [pytest.mark.node, pytest.mark.slow]


@pytest.fixture(params=VERSIONS)
def deployment(deploy, request):
    return deployed(deploy, request.param)


def deployed(deploy, packages, **settings):
    return deploy(packages, shared="smoked", **settings)


def levels(result):
    return {check.id: check.level.value for check in result.checks}


def test_a_migrated_user_gets_through_every_step(deployment):
    """Sign-in, session, organizations, active organization, sign-out: all in order, exit 0."""
    email, password = deployment.person(0)
    result = smoke(deployment.app.url, email, password)

    assert dict.fromkeys(STEPS, "ok") == levels(result), result.checks
    assert 0 == result.exit_code


def test_it_leaves_no_session_behind(deployment):
    """What it signed in it signs out again."""
    email, password = deployment.person(0)
    before = deployment.database["session"].count_documents({})
    smoke(deployment.app.url, email, password)

    assert before == deployment.database["session"].count_documents({})


def test_the_command_reports_each_step_and_no_secret(newbi, deployment):
    """One line for each step on standard output; neither e-mail nor password anywhere."""
    email, password = deployment.person(0)
    answer = newbi(
        "smoke", uri=None, FRONTEND_URL=deployment.app.url,
        NEWBI_SMOKE_EMAIL=email, NEWBI_SMOKE_PASSWORD=password,
    )  # fmt: skip
    as_json = newbi(
        "smoke", "--json", "--url", deployment.app.url, "--email", email,
        uri=None, NEWBI_SMOKE_PASSWORD=password,
    )  # fmt: skip

    assert (0, 0) == (answer.code, as_json.code), answer.err
    assert list(STEPS) == [check["id"] for check in as_json.json["checks"]]
    assert len(STEPS) == answer.out.count("\n ok ")
    for secret in (email, password):
        assert secret not in answer.out + answer.err + as_json.out + as_json.err


def test_a_wrong_password_fails_with_four_and_says_what_to_do(newbi, deployment, tmp_path):
    """The steps after the sign-in are skipped, and the way out is named."""
    email, _ = deployment.person(0)
    file = tmp_path / "password"
    file.write_text("wrong\n", encoding="utf-8")
    answer = newbi(
        "smoke", "--json", "--url", deployment.app.url, "--email", email,
        "--password-file", file, uri=None,
    )  # fmt: skip
    found = {check["id"]: check for check in answer.json["checks"]}

    assert (4, "failed", "skipped") == (
        answer.code,
        found["sign-in"]["level"],
        found["session"]["level"],
    )
    assert "password.verify" in found["sign-in"]["remedy"]


@pytest.mark.parametrize("packages", VERSIONS)
def test_an_application_without_verify_is_recognised(deploy, packages):
    """Where Better Auth is left alone with bcrypt, the remedy names password.verify."""
    deployment = deployed(deploy, packages, verify=False)
    result = smoke(deployment.app.url, *deployment.person(0))
    failed = next(check for check in result.checks if check.level == "failed")

    assert 4 == result.exit_code
    assert "password.verify" in failed.remedy


@pytest.mark.parametrize("packages", VERSIONS)
def test_a_user_who_never_verified_their_address_is_told_apart(deploy, packages):
    """403 for want of a verified e-mail is not taken for a wrong password."""
    deployment = deployed(deploy, packages, verified=True)
    verified = [user["isEmailVerified"] for user in deployment.legacy.users]
    result = smoke(deployment.app.url, *deployment.person(verified.index(False)))
    failed = next(check for check in result.checks if check.level == "failed")

    assert "verified e-mail" in failed.sentence


def test_an_organization_nobody_can_see_fails(deploy):
    """A member whose ids are text leaves its user without organizations."""
    deployment = deploy("better-auth-newest", shared="broken")
    owner = deployment.legacy.users[0]["_id"]
    members = deployment.database["member"]
    stored = members.find_one({"userId": owner})
    members.update_one({"_id": stored["_id"]}, {"$set": {"userId": str(owner)}})
    result = smoke(deployment.app.url, *deployment.person(0))
    members.replace_one({"_id": stored["_id"]}, stored)

    assert (4, "failed") == (result.exit_code, levels(result)["organizations"])


def test_an_incomplete_company_is_a_warning(deploy):
    """What the application will ask for is named, and the code stays 0."""
    deployment = deploy("better-auth-newest", shared="broken")
    organization = deployment.result.plan.users[0].workspace
    deployment.database["organization"].update_one(
        {"_id": organization}, {"$unset": {"addressZipCode": 1}}
    )
    result = smoke(deployment.app.url, *deployment.person(0))

    assert (0, "warning") == (result.exit_code, levels(result)["organization"])
    assert any("lacks addressZipCode" in check.sentence for check in result.checks)
