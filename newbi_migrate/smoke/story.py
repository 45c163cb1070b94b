"""The use-case ``smoke``: one migrated user signs in to the real application.

It talks HTTP to Better Auth as a browser does, and never to MongoDB, because only the application
itself can show that people can work in it.

The routes are those of Better Auth's documentation: "Basic usage" and the organization plugin.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import computed_field

from newbi_migrate.checks import Check, Level, worst
from newbi_migrate.documents.better_auth import COMPANY_GUARD_FIELDS
from newbi_migrate.errors import ExitCode, UnreachableError
from newbi_migrate.smoke.browser import Browser, Reply, application_url

__all__ = ["STEPS", "SmokeResult", "smoke"]

STEPS: Final[Mapping[str, str]] = {
    "reachable": "Better Auth answers",
    "wrong-password": "A wrong password is refused",
    "sign-in": "Sign-in with the old password",
    "session": "Session",
    "organizations": "Organizations",
    "set-active": "Making an organization active",
    "organization": "Organization and role",
    "sign-out": "Sign-out",
}
"""The steps, in order, each with what it is about."""

_HOW_TO: Final = "docs/how-to/better-auth-passwords.md"
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_SERVER: Final = 500


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """What the application let a user do.

    Attributes:
        application: Its address.
        checks: One for each step, in order.
    """

    application: str
    checks: tuple[Check, ...]

    @computed_field
    @property
    def exit_code(self) -> ExitCode:
        """4 where a step failed, else 0."""
        return ExitCode.VALIDATION_FAILED if self.failed else ExitCode.DONE

    @property
    def failed(self) -> str:
        """The step that failed; empty if none did."""
        return next((check.id for check in self.checks if check.level is Level.FAILED), "")


def smoke(
    application: str,
    email: str,
    password: str,
    *,
    timeout: float = 15.0,
    allow_http: bool = False,
    told: Callable[[Check], None] | None = None,
) -> SmokeResult:
    """Signs a user in, looks at what they see, and signs them out again.

    Nothing is changed but their sessions: the one made here names an active organization, and is
    ended at the end. A step that fails ends the story; the others are skipped.

    Args:
        application: Address of the application, under which ``/api/auth`` is Better Auth.
        email: E-mail of a migrated user.
        password: Their password, of before the migration.
        timeout: Seconds to wait for each answer.
        allow_http: Whether the password may cross a network in clear.
        told: Called with each check as soon as it is known.

    Raises:
        UsageError: The address is none, or the password would cross a network in clear.
        UnreachableError: The application does not answer at all.
    """
    url = application_url(application, allow_http=allow_http)
    visit = _Visit(
        browser=Browser(url, timeout=timeout),
        stranger=Browser(url, timeout=timeout),
        email=email.strip(),
        password=password,
    )
    checks: list[Check] = []
    for step in STEPS:
        if checks and worst(checks) is Level.FAILED:
            check = Check(step, Level.SKIPPED, f"{STEPS[step]}: not tried.")
        else:
            check = _taken(step, visit)
            # An application that says the password again is no reason to print it.
            check = replace(check, sentence=check.sentence.replace(password, "***"))
        checks.append(check)
        if told is not None:
            told(check)
    return SmokeResult(url, tuple(checks))


def _taken(step: str, visit: _Visit) -> Check:
    """What came of a step; an application that stops answering fails it."""
    try:
        return _TAKE[step](visit)
    except UnreachableError as error:
        if step == next(iter(STEPS)):
            raise
        return _failed(step, f"{STEPS[step]}: {error.what}", "It had answered before; see its log.")


@dataclass(slots=True)
class _Visit:
    """What one step learns for the next."""

    browser: Browser
    stranger: Browser
    email: str = field(repr=False)
    password: str = field(repr=False)
    organizations: list[str] = field(default_factory=list)
    active: str = ""

    def session(self) -> Mapping[str, Any]:
        """The current session with its user, or nothing."""
        reply = self.browser.get("/get-session")
        return reply.body if reply.good and isinstance(reply.body, Mapping) else {}


def _reachable(visit: _Visit) -> Check:
    reply = visit.browser.get("/ok")
    if reply.good and isinstance(reply.body, Mapping) and reply.body.get("ok") is True:
        return _ok("reachable", "Better Auth answers under /api/auth.")
    if reply.location:
        return _failed(
            "reachable",
            f"The application redirects to {reply.location}.",
            "Give that address instead: no password is sent along to another.",
        )
    return _failed(
        "reachable",
        f"There is no Better Auth under /api/auth (status {reply.status}).",
        "Check the address, and that the application serves Better Auth there.",
    )


def _wrong_password(visit: _Visit) -> Check:
    reply = visit.stranger.post(
        "/sign-in/email", email=visit.email, password=secrets.token_urlsafe(18)
    )
    if reply.good:
        return _failed(
            "wrong-password",
            "A wrong password was accepted: anybody can sign in as anybody.",
            f"Take the application off the network and correct password.verify ({_HOW_TO}).",
        )
    if reply.status == _UNAUTHORIZED:
        return _ok("wrong-password", "A wrong password is refused.")
    return _refused("wrong-password", reply)


def _sign_in(visit: _Visit) -> Check:
    reply = visit.browser.post("/sign-in/email", email=visit.email, password=visit.password)
    if not reply.good:
        return _refused("sign-in", reply)
    if isinstance(reply.body, Mapping) and reply.body.get("twoFactorRedirect"):
        return _failed(
            "sign-in",
            "The password is right, but this user has a second factor.",
            "Try it with a user who has none.",
        )
    return _ok("sign-in", "The user signed in with the old password.")


def _refused(step: str, reply: Reply) -> Check:
    """Why somebody was not let in, and what to do about it."""
    if reply.status == _UNAUTHORIZED:
        return _failed(
            step,
            "The application refused the e-mail or the password (status 401).",
            f"If both are right: where nobody can sign in, deploy password.verify ({_HOW_TO}); "
            "where one user cannot, newbi-migrate plan --verbose shows who was quarantined or has "
            "no password.",
        )
    if reply.code == "EMAIL_NOT_VERIFIED":
        return _failed(
            step,
            "The application demands a verified e-mail, and this user's is not.",
            "Try a user who had verified theirs; emailVerified follows the legacy flag.",
        )
    if reply.status == _FORBIDDEN and "ORIGIN" in reply.code:
        return _failed(
            step,
            "The application does not trust the address it was asked under.",
            "Give the address that is its baseURL, or add this one to trustedOrigins.",
        )
    if reply.status == _TOO_MANY:
        return _failed(
            step,
            "The application limits how often somebody may sign in.",
            f"Wait {reply.retry_after or '60'} s and try again.",
        )
    if reply.status >= _SERVER:
        return _failed(
            step,
            f"The application failed while it verified the password (status {reply.status}).",
            f"An older Better Auth without password.verify does that ({_HOW_TO}); its log says "
            "more.",
        )
    return _unexpected(step, reply)


def _session(visit: _Visit) -> Check:
    session = visit.session()
    user = session.get("user")
    if not isinstance(user, Mapping):
        return _failed(
            "session",
            f"The user signed in and yet has no session.{_refused_cookie(visit)}",
            "Look at the application's log; a user._id that is not an ObjectId does this, and so "
            "do cookies for another address.",
        )
    if str(user.get("email")).lower() != visit.email.lower():
        return _failed(
            "session",
            "The session is of somebody else.",
            "Stop the application: two users share an e-mail; newbi-migrate plan names them.",
        )
    return _ok("session", "The session is of the user who signed in.")


def _refused_cookie(visit: _Visit) -> str:
    refused = visit.browser.refused_cookie
    return f" A browser does not take the cookie {refused}." if refused else ""


def _organizations(visit: _Visit) -> Check:
    reply = visit.browser.get("/organization/list")
    if not reply.good or not isinstance(reply.body, list):
        return _unexpected("organizations", reply)
    visit.organizations = [str(o["id"]) for o in reply.body if isinstance(o, Mapping) and "id" in o]
    if not visit.organizations:
        return _failed(
            "organizations",
            "The user sees no organization.",
            "They were quarantined, or their member document holds ids as text; "
            "newbi-migrate plan --verbose says which.",
        )
    number = len(visit.organizations)
    seen = "one organization" if number == 1 else f"{number} organizations"
    return _ok("organizations", f"The user sees {seen}.")


def _set_active(visit: _Visit) -> Check:
    wanted = visit.organizations[0]
    reply = visit.browser.post("/organization/set-active", organizationId=wanted)
    if not reply.good:
        return _unexpected("set-active", reply)
    session = visit.session().get("session")
    active = session.get("activeOrganizationId") if isinstance(session, Mapping) else None
    if active != wanted:
        return _failed(
            "set-active",
            f"The organization {wanted} was made active, but the session does not say so.",
            "Look at the application's log and at the session document.",
        )
    visit.active = wanted
    return _ok("set-active", f"The organization {wanted} is active.")


def _organization(visit: _Visit) -> Check:
    reply = visit.browser.get("/organization/get-full-organization")
    if reply.status >= _SERVER:
        return _failed(
            "organization",
            f"The application cannot show the organization {visit.active} (status {reply.status}).",
            "One of its members has no user; newbi-migrate doctor counts such members.",
        )
    if not reply.good or not isinstance(reply.body, Mapping):
        return _unexpected("organization", reply)
    member = visit.browser.get("/organization/get-active-member")
    role = member.body.get("role") if member.good and isinstance(member.body, Mapping) else None
    lacking = [name for name in COMPANY_GUARD_FIELDS if not reply.body.get(name)]
    if not isinstance(role, str):
        return _unexpected("organization", member)
    if "owner" not in role.split(","):
        return Check(
            "organization",
            Level.WARNING,
            f"The user's role is {role}: they do not own the organization {visit.active}.",
            "A migration makes every user the owner of their own organization. Nothing is wrong "
            "where somebody has invited them into this one.",
        )
    if lacking:
        return Check(
            "organization",
            Level.WARNING,
            f"The user's role is {role}; the organization lacks {', '.join(lacking)}.",
            "The application asks for these before the first invoice. Nothing is wrong where the "
            "legacy user had none either.",
        )
    return _ok("organization", f"The organization is complete, and the user's role is {role}.")


def _sign_out(visit: _Visit) -> Check:
    reply = visit.browser.post("/sign-out")
    if reply.good and not visit.session():
        return _ok("sign-out", "The user signed out.")
    return Check(
        "sign-out",
        Level.WARNING,
        f"The user could not be signed out (status {reply.status}).",
        "The session of this test ends by itself.",
    )


_TAKE: Final[Mapping[str, Callable[[_Visit], Check]]] = {
    "reachable": _reachable,
    "wrong-password": _wrong_password,
    "sign-in": _sign_in,
    "session": _session,
    "organizations": _organizations,
    "set-active": _set_active,
    "organization": _organization,
    "sign-out": _sign_out,
}


def _ok(step: str, sentence: str) -> Check:
    return Check(step, Level.OK, sentence)


def _failed(step: str, sentence: str, remedy: str) -> Check:
    return Check(step, Level.FAILED, sentence, remedy)


def _unexpected(step: str, reply: Reply) -> Check:
    if reply.location:
        return _failed(
            step,
            f"{STEPS[step]}: the application redirects to {reply.location}.",
            "Its log says more; a browser would have gone on there.",
        )
    code = f", {reply.code}" if reply.code.replace("_", "").isalpha() else ""
    return _failed(
        step,
        f"{STEPS[step]}: the application answered with status {reply.status}{code}.",
        "Its log says more.",
    )
