"""`smoke` takes and sends what a browser does, and names the step at which a browser would stop."""

from __future__ import annotations

import json

import pytest
from json_answers import JsonAnswers, serving

from newbi_migrate import ExitCode
from newbi_migrate.smoke import STEPS, smoke

EMAIL, PASSWORD = "a@exemple.fr", "ein-Geheimnis-9"
ORGANIZATION = {"id": "1", "companyName": "x", "companyEmail": "x", "addressStreet": "x"}


class Application(JsonAnswers):
    """Better Auth as far as `smoke` sees it; who has the cookie is signed in."""

    def reply(self, body):
        settings, path = self.server, self.path.removeprefix("/api/auth")
        if path == settings.dies_at:
            self.connection.close()
            return
        if settings.slash and not path.endswith("/"):
            self.answer(settings.slash, None, {"Location": f"{self.path}/"})
            return
        path = path.rstrip("/")
        settings.headers.setdefault(path, dict(self.headers))
        signed_in = settings.cookie.partition(";")[0] in (self.headers.get("Cookie") or "")
        if path == "/ok":
            self.answer(200, {"ok": True})
        elif path == "/sign-in/email":
            if json.loads(body)["password"] == PASSWORD:
                self.answer(200, {}, {"Set-Cookie": settings.cookie})
            else:
                self.answer(401, {})
        elif path == "/get-session":
            session = {"user": {"email": EMAIL}, "session": {"activeOrganizationId": "1"}}
            self.answer(200, session if signed_in else None)
        elif path == "/sign-out":
            gone = settings.cookie + "; Max-Age=0"
            self.answer(200, {}, {"Set-Cookie": gone})
        else:
            answers = {
                "/organization/list": [ORGANIZATION],
                "/organization/get-active-member": {"role": settings.role},
            }
            self.answer(200, answers.get(path, settings.organization))


@pytest.fixture
def app():
    """An application on this machine that is as it should be."""
    from newbi_migrate.documents.better_auth import COMPANY_GUARD_FIELDS

    with serving(Application) as server:
        server.cookie, server.slash, server.dies_at, server.headers = "s=1; Path=/", 0, "", {}
        server.organization, server.role = dict.fromkeys(COMPANY_GUARD_FIELDS, "x"), "owner"
        server.handle_error = lambda *_: None
        yield server


def visited(app, host="127.0.0.1"):
    return smoke(f"http://{host}:{app.server_port}", EMAIL, PASSWORD, timeout=5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    "cookie",
    [
        "better-auth.session_token=a.b%3D; Path=/; HttpOnly; SameSite=Lax",
        "__Secure-better-auth.session_token=a; Path=/; Secure; HttpOnly; SameSite=Lax",
        "__Host-s=a; Path=/; Secure",
        "s=a; Path=/; SameSite=None; Secure; Partitioned",
        "s=a; Path=/api/auth; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
        "s=a; Path=/; Domain=HOST; Max-Age=604800",
        "__Secure-s=a; Path=/; Domain=.HOST; Secure",
    ],
)
def test_cookies_are_taken_on_loopback_as_browsers_take_them(app, host, cookie):
    """Secure ones, whose connection is http, and those whose domain is no domain, among them."""
    app.cookie = cookie.replace("HOST", host)
    result = visited(app, host)

    assert dict.fromkeys(STEPS, "ok") == {c.id: c.level.value for c in result.checks}


@pytest.mark.parametrize(
    ("cookie", "why"),
    [
        ("s=a; Path=/; Domain=exemple.fr", "its domain is exemple.fr"),
        ("s=a; Path=/; Domain=localhost", "its domain is localhost"),
        ("__Secure-s=a; Path=/", "its name asks for Secure"),
        ("s=a; Path=/; SameSite=None", "SameSite=None and not Secure"),
    ],
)
def test_a_cookie_that_no_browser_takes_fails_the_session_and_is_named(app, cookie, why):
    """The application signs in and nobody is: the reason is in its cookie."""
    app.cookie = cookie
    result = visited(app)
    failed = next(check for check in result.checks if check.id == result.failed)

    assert "session" == result.failed
    assert f"does not take the cookie {cookie.partition('=')[0]} (" in failed.sentence
    assert why in failed.sentence


def test_a_request_says_what_that_of_a_browser_says(app):
    """Where it comes from and, where there is a body, of what kind that is."""
    visited(app)
    asked, sent = app.headers["/get-session"], app.headers["/sign-in/email"]
    origin = f"http://127.0.0.1:{app.server_port}"

    assert (None, None) == (asked.get("Origin"), asked.get("Content-Type"))
    assert (origin, "application/json") == (sent["Origin"], sent["Content-Type"])
    for headers in (asked, sent):
        assert "same-origin" == headers["Sec-Fetch-Site"]
        assert f"{origin}/" == headers["Referer"]


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_within_the_application_is_followed(app, status):
    """As with a slash at the end of every path: method and body stay."""
    app.slash = status

    assert ExitCode.DONE == visited(app).exit_code


def test_a_redirect_that_loses_the_body_fails_its_step(app):
    """301 turns what was sent into a question, as browsers do; and it ends somewhere."""
    app.slash = 301
    result = visited(app)

    assert ExitCode.VALIDATION_FAILED == result.exit_code
    assert "wrong-password" == result.failed


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("/sign-in/email", "wrong-password"),
        ("/get-session", "session"),
        ("/organization/list", "organizations"),
        ("/organization/set-active", "set-active"),
        ("/organization/get-full-organization", "organization"),
    ],
)
def test_the_step_at_which_an_application_stops_answering_is_named(newbi, app, path, step):
    """It had answered before, so that step failed; the others are not tried."""
    app.dies_at = path
    url = f"http://127.0.0.1:{app.server_port}"
    answer = newbi("smoke", "--url", url, "--email", EMAIL, uri=None, NEWBI_SMOKE_PASSWORD=PASSWORD)

    assert ExitCode.VALIDATION_FAILED == answer.code, answer.err
    assert f"The step {step} failed." in answer.out
    assert PASSWORD not in answer.out + answer.err


@pytest.mark.parametrize(
    ("role", "level"), [("owner", "ok"), ("admin,owner", "ok"), ("member", "warning")]
)
def test_whoever_does_not_own_their_organization_does_not_pass_as_its_owner(app, role, level):
    """It is said which role they have."""
    app.role = role
    (step,) = (check for check in visited(app).checks if check.id == "organization")

    assert level == step.level.value
    assert role in step.sentence
