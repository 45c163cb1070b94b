"""What is odd about legacy users, and about the Better Auth documents that are there already.

Importing this module registers its cases.
"""

from __future__ import annotations

from typing import Any

from case_builder import CaseBuilder, case, invalid_text, raw

from newbi_migrate.demo.people import PASSWORDS
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Action, Reason

__all__: list[str] = []

_SCRYPT = f"{'0a' * 16}:{'1b' * 64}"


@case("company-incomplete")
def _(builder: CaseBuilder) -> None:
    """The company is absent, null, blank, or holds nothing but the schema's defaults."""
    defaults = {"companyStatus": "AUTRE", "transactionCategory": "SERVICES"}
    for company in (..., None, {}, {"name": "", "siret": "  ", "address": None}, defaults):
        builder.stamped("invoices", builder.user(company=company))
    builder.user(company="Atelier", profile=None)
    builder.user(company=..., profile=...)


@case("email-not-normal")
def _(builder: CaseBuilder) -> None:
    """The address has upper case or blanks, a plus, a long ending, or is no address."""
    token = str(builder.id())
    builder.user(email=f" Camille.{token}@Exemple.FR ")
    builder.user(email=f"camille+{token}@exemple.fr")
    builder.user(email=f"camille@{token}.online")
    builder.user(email=f"camille {token}")


@case("email-missing")
def _(builder: CaseBuilder) -> None:
    """There is no address: absent, blank, or no text."""
    for email in (..., "", "  ", 42):
        user = builder.user(Outcome.QUARANTINED, reason=Reason.EMAIL_MISSING, email=email)
        builder.quarantined("invoices", user, Reason.OWNER_QUARANTINED)


@case("email-twice-by-case")
def _(builder: CaseBuilder) -> None:
    """Two legacy users have addresses that differ by case alone."""
    local = f"camille.{builder.id()}"
    for email in (f"{local}@exemple.fr", f"{local.capitalize()}@Exemple.fr"):
        user = builder.user(Outcome.QUARANTINED, reason=Reason.DUPLICATE_EMAIL, email=email)
        builder.quarantined("quotes", user, Reason.OWNER_QUARANTINED)


@case("registered-again-verified")
def _(builder: CaseBuilder) -> None:
    """The address is a user's under another id, who has proven that it is theirs."""
    target = builder.id()
    workspace = organization_id(target)
    user = builder.user(Outcome.ALIASED, user_id=target, workspace=workspace)
    builder.target_user(user["email"], _id=target)
    legacy: Any = user["_id"]
    for collection, field in (("invoices", "createdBy"), ("events", "userId")):
        builder.add(
            collection,
            builder.make(collection, user),
            Action.STAMP,
            workspace=workspace,
            owners={field: target},
        )
    builder.add(
        "expenses",
        builder.make("expenses", user, createdBy=str(legacy), workspaceId=legacy),
        Action.STAMP,
        workspace=workspace,
        owners={"createdBy": str(target)},
    )
    builder.add(
        "filetransfers",
        builder.make("filetransfers", user),
        Action.STAMP,
        workspace=workspace,
        owners={"userId": target},
    )
    for collection in ("integrations", "stripeconnectaccounts"):
        document = builder.make(collection, user)
        builder.add(collection, document, Action.STAMP, owners={"userId": target})
    other = builder.user()
    links = {"referredUserId": other["_id"], "transferId": builder.id()}
    referral = builder.make("referralevents", user, links)
    builder.add("referralevents", referral, Action.STAMP, owners={"referrerId": target})
    referred = builder.make("referralevents", other, {"referredUserId": legacy})
    builder.add("referralevents", referred, Action.STAMP, owners={"referredUserId": target})
    grant = builder.make("accessgrants", user, links)
    builder.add("accessgrants", grant, Action.STAMP, owners={"buyerId": str(target)})


@case("registered-again-unverified")
def _(builder: CaseBuilder) -> None:
    """Somebody registered the address and has not proven that it is theirs."""
    user = builder.user(Outcome.QUARANTINED, reason=Reason.ALIAS_UNVERIFIED)
    builder.target_user(user["email"], emailVerified=False)
    builder.quarantined("invoices", user, Reason.OWNER_QUARANTINED)


@case("registered-again-twice")
def _(builder: CaseBuilder) -> None:
    """Two users have the address, or one whose id nothing can refer to."""
    user = builder.user(Outcome.QUARANTINED, reason=Reason.ALIAS_AMBIGUOUS)
    builder.target_user(user["email"])
    builder.target_user(user["email"].upper())
    builder.quarantined("clients", user, Reason.OWNER_QUARANTINED)
    other = builder.user(Outcome.QUARANTINED, reason=Reason.ALIAS_AMBIGUOUS)
    builder.target_user(other["email"], _id=str(builder.id()))


@case("user-there-already")
def _(builder: CaseBuilder) -> None:
    """An earlier attempt copied the user and stopped before the organization."""
    user = builder.user(Outcome.PRESENT)
    fields = {"workspaceId": str(builder.id()), "organizationId": str(builder.id())}
    builder.target_user(user["email"], _id=user["_id"], name="", **fields)
    builder.stamped("invoices", user)


@case("owner-of-one-organization")
def _(builder: CaseBuilder) -> None:
    """The user owns an organization, is a member of another, and keeps their own."""
    identifier, workspace = builder.id(), builder.id()
    user = builder.user(Outcome.PRESENT, workspace=workspace, _id=identifier)
    builder.target_user(user["email"], _id=identifier)
    builder.organization(identifier, _id=workspace, metadata={"type": "business"}, slug=None)
    builder.organization(identifier, role="member")
    document = builder.make("invoices", user)
    builder.add("invoices", document, Action.STAMP, workspace=workspace)


@case("owner-of-several-organizations")
def _(builder: CaseBuilder) -> None:
    """The user owns two organizations: nobody can say whose their documents are."""
    identifier = builder.id()
    user = builder.user(Outcome.PRESENT, several=True, _id=identifier)
    builder.target_user(user["email"], _id=identifier)
    builder.organization(identifier)
    builder.organization(identifier, role="member,owner")
    builder.quarantined("invoices", user, Reason.OWNER_AMBIGUOUS)


@case("only-a-guest")
def _(builder: CaseBuilder) -> None:
    """The user is only a member of somebody else's organization, and gets their own."""
    identifier = builder.id()
    user = builder.user(Outcome.PRESENT, _id=identifier)
    builder.target_user(user["email"], _id=identifier)
    builder.organization(identifier, role="member")
    builder.stamped("invoices", user)


@case("slug-taken")
def _(builder: CaseBuilder) -> None:
    """Another organization has the slug that would be theirs."""
    user = builder.user()
    builder.organization(
        builder.target_user(f"{builder.id()}@exemple.fr"), slug=f"org-{str(user['_id'])[-8:]}"
    )


@case("broken-memberships")
def _(builder: CaseBuilder) -> None:
    """Memberships with text for ids, of no organization, of nobody; organizations of nobody."""
    user = builder.target_user(f"{builder.id()}@exemple.fr")
    organization = builder.organization()
    builder.member(str(organization), str(user))
    builder.member(builder.id(), user)
    builder.member(organization, builder.id(), "member")
    builder.member(organization, None, "member")


@case("passwords")
def _(builder: CaseBuilder) -> None:
    """Hashes of all kinds, none at all, text in clear, and accounts that are there already."""
    bcrypt = next(iter(PASSWORDS.values()))
    for password in (f"$2y{bcrypt[3:]}", _SCRYPT, "", None, ..., "motdepasse", 1234):
        builder.user(password=password)
    for account in (
        {"providerId": "credential", "password": _SCRYPT},
        {"providerId": "google", "accessToken": "jeton"},
    ):
        identifier = builder.id()
        user = builder.user(Outcome.PRESENT, _id=identifier)
        builder.target_user(user["email"], _id=identifier)
        link = {"_id": builder.id(), "accountId": str(identifier), "userId": identifier}
        builder.add("account", {**link, **account})


@case("flags-and-dates")
def _(builder: CaseBuilder) -> None:
    """Users are disabled or unverified, and dates are missing or text."""
    builder.user(isDisabled=True, isEmailVerified=False)
    builder.user(isDisabled=..., isEmailVerified=..., createdAt=..., updatedAt=None)
    builder.user(createdAt="2025-03-01T10:00:00.000Z", isEmailVerified="true")


@case("phone-and-code-twice")
def _(builder: CaseBuilder) -> None:
    """Referral codes are null or blank, and a phone number or a code is somebody else's."""
    builder.user(referralCode=None)
    builder.user(referralCode="")
    phone = {"firstName": "Camille", "phone": "0612121212"}
    builder.user(profile=phone)
    builder.user(profile=dict(phone))
    other = builder.user()
    builder.target_user(f"{builder.id()}@exemple.fr", referralCode=other["referralCode"])


@case("user-without-objectid")
def _(builder: CaseBuilder) -> None:
    """The ``_id`` of a legacy user is text, so nothing that refers to it can be resolved."""
    name = f"user-{builder.id()}"
    user = builder.user(Outcome.QUARANTINED, reason=Reason.ID_NOT_OBJECT_ID, _id=name)
    builder.quarantined("invoices", user, Reason.OWNER_MALFORMED)


@case("user-of-invalid-text")
def _(builder: CaseBuilder) -> None:
    """A legacy user's document holds text that is no UTF-8."""
    user = builder.user(Outcome.QUARANTINED, reason=Reason.UNREADABLE)
    builder.quarantined("invoices", user, Reason.OWNER_QUARANTINED)
    builder.documents[builder.source][-1] = raw(user, invalid_text("surname"))
