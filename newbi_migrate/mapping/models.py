"""One legacy user as models: what a migration makes of them where nobody else is."""

from __future__ import annotations

from dataclasses import dataclass

from newbi_migrate.documents.better_auth import Account, Member, Organization, User
from newbi_migrate.documents.legacy import LegacyUser
from newbi_migrate.mapping.decisions import LegacyKey, Target, decide_users
from newbi_migrate.mapping.users import Existing, Finding, Insert, writes_for

__all__ = ["MigratedUser", "migrated_user"]


@dataclass(frozen=True, slots=True)
class MigratedUser:
    """What becomes of a legacy user.

    Attributes:
        user: Who they are.
        organization: Their own.
        member: What makes them its owner.
        account: What they sign in with; ``None`` where no hash of a password was stored.
        findings: What a person should know about them.
    """

    user: User
    organization: Organization
    member: Member
    account: Account | None
    findings: tuple[Finding, ...]


def migrated_user(legacy: LegacyUser) -> MigratedUser:
    """What a migration makes of a legacy user, in a database that holds nobody else.

    It is for a backend's own tests and previews: in a database with others, `Migration.plan`
    tells who has the same address, number or slug.

    Args:
        legacy: The legacy user as loaded, with their ``_id``.

    Raises:
        ValueError: They would be quarantined; the message is the reason.
    """
    document = legacy.to_document()
    (decision,) = decide_users([LegacyKey.of(document)], Target())
    if decision.reason is not None:
        raise ValueError(decision.reason.value)
    written = writes_for(document, decision, Existing())
    made = {w.collection: w.document for w in written.writes if isinstance(w, Insert)}
    account = made.get("account")
    return MigratedUser(
        user=User.load(made["user"]),
        organization=Organization.load(made["organization"]),
        member=Member.load(made["member"]),
        account=None if account is None else Account.load(account),
        findings=written.findings,
    )
