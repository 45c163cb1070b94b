"""Codes of findings: what is odd before a run and stays so, and the rule of a validation it breaks.

A plan decides by what it has read anyway, so the rules of single fields are not among them:
a validation asks these, before a run as well as after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import computed_field

from newbi_migrate.mapping.users import Finding

__all__ = [
    "ACCOUNT_ID_DIFFERS",
    "ACCOUNT_OF_NOBODY",
    "ACCOUNT_USER_NOT_OBJECT_ID",
    "ACCOUNT_USER_TEXT",
    "ACCOUNT_WITHOUT_PASSWORD",
    "COMPANION_ELSEWHERE",
    "DOCUMENT_ID",
    "EMAIL_NOT_NORMAL",
    "EMAIL_REFUSED",
    "EMAIL_TWICE",
    "ID_NOT_OBJECT_ID",
    "MEMBER_IDS",
    "MEMBER_IS_NOBODY",
    "MEMBER_OF_NOTHING",
    "MEMBER_TWICE",
    "OWNER_ABSENT",
    "OWNER_NOT_OBJECT_ID",
    "RULES",
    "SESSION_OF_NOTHING",
    "SLUG_MISSING",
    "SLUG_TWICE",
    "USER_FIELD_NOT_OBJECT_ID",
    "USER_FLAGS_DIFFER",
    "USER_NAMES_ORGANIZATION",
    "USER_WITHOUT_ORGANIZATION",
    "WITHOUT_OWNER",
    "RuledFinding",
    "with_rules",
]

ACCOUNT_ID_DIFFERS: Final = "account-id-differs"
ACCOUNT_OF_NOBODY: Final = "account-of-nobody"
ACCOUNT_USER_NOT_OBJECT_ID: Final = "account-user-not-objectid"
ACCOUNT_USER_TEXT: Final = "account-user-id-text"
ACCOUNT_WITHOUT_PASSWORD: Final = "account-without-password"  # noqa: S105  # a code
COMPANION_ELSEWHERE: Final = "companion-elsewhere"
DOCUMENT_ID: Final = "document-id-not-objectid"
EMAIL_NOT_NORMAL: Final = "email-not-normal"
EMAIL_REFUSED: Final = "email-refused"
EMAIL_TWICE: Final = "email-twice"
ID_NOT_OBJECT_ID: Final = "id-not-objectid"
MEMBER_IDS: Final = "member-ids-not-objectid"
MEMBER_IS_NOBODY: Final = "member-is-nobody"
MEMBER_OF_NOTHING: Final = "member-of-nothing"
MEMBER_TWICE: Final = "member-twice"
OWNER_ABSENT: Final = "owner-absent"
OWNER_NOT_OBJECT_ID: Final = "owner-not-objectid"
SESSION_OF_NOTHING: Final = "session-of-nothing"
SLUG_MISSING: Final = "slug-missing"
SLUG_TWICE: Final = "slug-twice"
USER_FIELD_NOT_OBJECT_ID: Final = "user-field-not-objectid"
USER_FLAGS_DIFFER: Final = "user-flags-differ"
USER_NAMES_ORGANIZATION: Final = "user-names-organization"
USER_WITHOUT_ORGANIZATION: Final = "user-without-organization"
WITHOUT_OWNER: Final = "organization-without-owner"

RULES: Final[Mapping[str, str]] = {
    OWNER_NOT_OBJECT_ID: "document.owner-type",
    OWNER_ABSENT: "document.owner-present",
    USER_FIELD_NOT_OBJECT_ID: "field.owner-id",
    COMPANION_ELSEWHERE: "document.companion-workspace",
    DOCUMENT_ID: "field.document-id",
    EMAIL_REFUSED: "user.email-accepted",
    EMAIL_NOT_NORMAL: "user.email-normal",
    EMAIL_TWICE: "user.email-unique",
    ACCOUNT_USER_TEXT: "account.ids",
    ACCOUNT_USER_NOT_OBJECT_ID: "account.ids",
    ACCOUNT_ID_DIFFERS: "account.ids",
    ACCOUNT_OF_NOBODY: "account.user-exists",
    ACCOUNT_WITHOUT_PASSWORD: "account.credential-password",
    ID_NOT_OBJECT_ID: "{collection}.id-type",
    USER_FLAGS_DIFFER: "user.flags-consistent",
    USER_NAMES_ORGANIZATION: "user.no-pointers",
    USER_WITHOUT_ORGANIZATION: "user.belongs",
    WITHOUT_OWNER: "organization.has-owner",
    SLUG_MISSING: "organization.slug-unique",
    SLUG_TWICE: "organization.slug-unique",
    MEMBER_IDS: "member.ids",
    MEMBER_OF_NOTHING: "member.points-somewhere",
    MEMBER_IS_NOBODY: "member.points-somewhere",
    MEMBER_TWICE: "member.once",
    SESSION_OF_NOTHING: "session.points-somewhere",
    "user-disabled": "legacy-user.kept-out",
    "user-banned": "legacy-user.kept-out",
    "password-differs": "legacy-user.password-elsewhere",
    "several-credential-accounts": "legacy-user.one-credential",
    "account-id-taken": "legacy-user.one-credential",
}
"""Code to the rule of which a validation says afterwards that the same documents break it."""


@dataclass(frozen=True, slots=True)
class RuledFinding(Finding):
    """A finding with the rule of a validation that it breaks.

    Attributes:
        code: What kind of finding, in lower case with hyphens.
        collection: Where.
        id: In which document; ``None`` where it concerns the collection as a whole.
        path: In which field, dotted; empty for the whole document.
    """

    @computed_field
    @property
    def rule(self) -> str | None:
        """The rule that ``validate`` finds broken after the run, or ``None``."""
        rule = RULES.get(self.code)
        return None if rule is None else rule.format(collection=self.collection)


def with_rules(findings: Iterable[Finding]) -> list[RuledFinding]:
    """Findings as an answer has them."""
    return [RuledFinding(one.code, one.collection, one.id, one.path) for one in findings]
