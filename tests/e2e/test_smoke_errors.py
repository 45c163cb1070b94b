"""What `smoke` says where there is no application, or none it may talk to."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading

import pytest
from json_answers import JsonAnswers, serving

from newbi_migrate.errors import UnreachableError, UsageError
from newbi_migrate.smoke import smoke
from newbi_migrate.smoke.browser import application_url

SECRET = "ein-Geheimnis-9"


class Answers(JsonAnswers):
    """Answers what the test says, and keeps what was asked."""

    def reply(self, body):
        if body:
            self.server.sent.append(json.loads(body))
        path = self.path.partition("?")[0].removeprefix("/api/auth")
        self.server.asked.append(self.path)
        status, headers, body = self.server.answers.get(path, (404, {}, None))
        self.answer(status, body, headers)


@pytest.fixture
def server():
    with serving(Answers) as server:
        server.answers, server.asked, server.sent = {"/ok": (200, {}, {"ok": True})}, [], []
        yield server


def failed(server):
    result = smoke(server.url, "a@exemple.fr", SECRET)
    return next(check for check in result.checks if check.level == "failed")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://app.exemple.fr", "https://app.exemple.fr"),
        ("https://app.exemple.fr/", "https://app.exemple.fr"),
        ("https://app.exemple.fr/api/auth/", "https://app.exemple.fr"),
        ("https://exemple.fr/app?x=1#y", "https://exemple.fr/app"),
        (" http://localhost:3000 ", "http://localhost:3000"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000/api/auth", "http://[::1]:3000"),
        ("https://App.Exemple.fr:443/mon é", "https://app.exemple.fr/mon%20%C3%A9"),
        ("http://localhost:80", "http://localhost"),
        ("https://café.exemple.fr", "https://xn--caf-dma.exemple.fr"),
    ],
)
def test_an_address_is_taken_as_people_write_it(given, kept):
    """With a slash, with Better Auth's own path, with blanks: it is the same application."""
    assert kept == application_url(given)


@pytest.mark.parametrize(
    "address",
    [
        "app.exemple.fr",
        "ftp://app.exemple.fr",
        "https://",
        "https://[::1",
        "https://app.exemple.fr:port",
        f"https://{'é' * 64}.fr",
        "http://app.exemple.fr",
        "http://192.168.0.7:3000",
        f"https://user:{SECRET}@app.exemple.fr",
    ],
)
def test_an_address_that_is_none_or_unsafe_is_refused(address):
    """No password is sent in clear to another machine, and no credential is repeated."""
    with pytest.raises(UsageError) as caught:
        application_url(address)

    assert SECRET not in str(caught.value)
    assert caught.value.next_step


def test_plain_http_to_another_machine_must_be_allowed():
    """`--allow-http` is for a network somebody trusts."""
    allowed = application_url("http://10.1.2.3:3000", allow_http=True)

    assert "http://10.1.2.3:3000" == allowed


def test_an_application_that_does_not_answer_ends_with_nine(newbi, server):
    """Unreachable is not "sign-in failed"; the password is in no output."""
    server.server_close()
    answer = newbi(
        "smoke", "--url", server.url, "--email", "a@exemple.fr", "--json",
        uri=None, NEWBI_SMOKE_PASSWORD=SECRET,
    )  # fmt: skip

    assert (9, 9) == (answer.code, answer.json["error"]["exitCode"])
    assert "cannot be reached" in answer.sentence
    assert SECRET not in answer.out + answer.err


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ((), {}, "address of the application"),
        (("--url", "https://x.exemple.fr"), {}, "whom to sign in"),
        (("--url", "https://x.exemple.fr", "--email", "a@b.fr"), {}, "no password"),
    ],
)
def test_what_is_missing_is_asked_for_with_two(newbi, arguments, environment, words):
    """Each missing piece is named, and nothing waits for an answer where nobody is."""
    answer = newbi("smoke", *arguments, uri=None, **environment)

    assert 2 == answer.code
    assert words in answer.sentence


def test_the_address_may_stand_in_dotenv(newbi, tmp_path, server):
    """FRONTEND_URL in `.env`, where the guide wants it, is found."""
    (tmp_path / ".env").write_text(f"FRONTEND_URL={server.url}\n", encoding="utf-8")
    answer = newbi("smoke", "--email", "a@exemple.fr", uri=None, NEWBI_SMOKE_PASSWORD=SECRET)

    assert 4 == answer.code
    assert "/api/auth/ok" in server.asked


def test_a_password_file_that_is_not_there_ends_with_ten(newbi):
    """As any file that cannot be read."""
    chosen = ("--url", "https://x.exemple.fr", "--email", "a@b.fr", "--password-file", "none")
    answer = newbi("smoke", *chosen, uri=None)

    assert (10, True) == (answer.code, "'none' cannot be read" in answer.sentence)


def test_an_empty_password_file_is_named(newbi, tmp_path):
    """Whoever named one is not told to name one."""
    (tmp_path / "password").write_text("\n", encoding="utf-8")
    chosen = ("--url", "https://x.exemple.fr", "--email", "a@b.fr", "--password-file", "password")
    answer = newbi("smoke", *chosen, uri=None)

    assert (2, "'password' is empty.") == (answer.code, answer.sentence)
    assert "--password-file" not in answer.err


@pytest.mark.parametrize("name", [".env", "password"])
def test_a_file_that_is_no_text_is_refused(newbi, tmp_path, name):
    """What cannot be read is named, and is no unexpected error."""
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    given = () if name == ".env" else ("--url", "https://x.fr", "--password-file", name)
    answer = newbi("smoke", "--email", "a@exemple.fr", *given, uri=None)

    assert 10 == answer.code
    assert f"'{name}' is not a text file" in answer.sentence


def test_at_a_terminal_the_password_is_asked_for_and_not_shown(tmp_path, server):
    """It is typed, sent to the application, and stands nowhere on the screen."""
    server.answers["/sign-in/email"] = (401, {}, {})
    ours, theirs = pty.openpty()
    arguments = ["smoke", "--url", server.url, "--email", "a@exemple.fr"]
    variables = {k: v for k, v in os.environ.items() if k != "NEWBI_SMOKE_PASSWORD"}
    with subprocess.Popen(
        [sys.executable, "-m", "newbi_migrate", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env=variables,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        screen = b""
        while b"Password" not in screen:
            screen += os.read(ours, 4096)
        os.write(ours, SECRET.encode() + b"\n")
        # The terminal's end is an error here, once nobody has it open.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                screen += part
        process.wait(30)
    os.close(ours)

    assert 4 == process.returncode
    assert SECRET in [body["password"] for body in server.sent]
    assert SECRET.encode() not in screen


def test_a_redirect_to_another_address_is_not_followed(server):
    """Neither password nor cookie goes to an address nobody named."""
    server.answers["/ok"] = (308, {"Location": "https://elsewhere.exemple.fr/x?token=1"}, None)
    check = failed(server)

    assert ("reachable", ["/api/auth/ok"]) == (check.id, server.asked)
    assert "https://elsewhere.exemple.fr/x." in check.sentence


def test_an_application_that_lets_anybody_in_fails(server):
    """A verify that always says yes is found out before the right password is sent."""
    server.answers["/sign-in/email"] = (200, {}, {"token": "x"})

    assert "wrong-password" == failed(server).id


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (429, {"X-Retry-After": "7"}, {"message": "Too many requests"}, "Wait 7 s"),
        (403, {}, {"code": "INVALID_ORIGIN"}, "trustedOrigins"),
        (500, {}, None, "password.verify"),
        (200, {"Content-Type": "text/html"}, b"<html>", "log"),
        (418, {}, {"code": "TEAPOT"}, "log"),
        (418, {}, b"{", "log"),
    ],
)
def test_every_way_of_refusing_has_its_own_remedy(server, status, headers, body, words):
    """Limits, origins, crashes and surprises are told apart."""
    server.answers["/sign-in/email"] = (status, headers, body)
    check = failed(server)

    assert "wrong-password" == check.id or status == 200
    assert words in check.remedy


def test_a_second_factor_is_no_failure_of_the_migration(server, monkeypatch):
    """The password was right; the remedy is another user."""
    answers = iter([(401, {}, None), (200, {}, {"twoFactorRedirect": True})])

    class OneByOne(dict):
        def get(self, path, default=None):
            return next(answers) if path == "/sign-in/email" else super().get(path, default)

    server.answers = OneByOne(server.answers)
    check = failed(server)

    assert "sign-in" == check.id
    assert "second factor" in check.sentence


def test_a_slow_application_is_unreachable(server):
    """An answer that does not come in time ends the wait."""
    server.shutdown()
    with pytest.raises(UnreachableError, match=r"within 0\.2 s"):
        smoke(server.url, "a@exemple.fr", SECRET, timeout=0.2)


def test_an_answer_that_drips_is_waited_for_no_longer_than_one_that_does_not_come():
    """The longest wait is for the whole answer, not for each of its bytes."""

    class Drips(JsonAnswers):
        def reply(self, body):
            self.send_response(200)
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.send_header("X-Drip", "drop")
                    self.flush_headers()
                    self.server.ended.wait(0.05)

    with serving(Drips) as server:
        server.ended = threading.Event()
        with pytest.raises(UnreachableError, match=r"within 0\.3 s"):
            smoke(server.url, "a@exemple.fr", SECRET, timeout=0.3)
        server.ended.set()


def test_a_password_that_the_application_says_again_is_not_printed(server):
    """Not as an error code, which is shown as it came."""
    server.answers |= {
        "/sign-in/email": (401, {}, {"code": "INVALID_EMAIL_OR_PASSWORD"}),
        "/get-session": (200, {}, None),
    }
    server.answers["/ok"] = (400, {}, {"code": SECRET.replace("-9", "").replace("-", "")})
    result = smoke(server.url, "a@exemple.fr", "einGeheimnis")

    assert "einGeheimnis" not in repr(result)


def test_a_redirect_to_an_address_with_any_characters_is_followed(server):
    """A query, too, may hold what no address can; one that leads here again and again ends."""
    server.answers["/ok"] = (302, {"Location": "/api/auth/ok?q=\xe9"}, None)

    assert failed(server).sentence
    assert "/api/auth/ok?q=%C3%A9" in server.asked
