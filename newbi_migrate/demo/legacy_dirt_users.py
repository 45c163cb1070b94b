"""What is odd about legacy users, and about the Better Auth documents that are there already.

Importing this module registers its cases.
"""

from __future__ import annotations

from typing import Any

from newbi_migrate.demo.legacy_patch import Patch, case, invalid_text, raw
from newbi_migrate.demo.people import PASSWORDS
from newbi_migrate.mapping.decisions import Outcome
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.workspace import Action, Reason

__all__: list[str] = []

_SCRYPT = f"{'0a' * 16}:{'1b' * 64}"


@case("company-incomplete")
def _(patch: Patch) -> None:
    """The company is absent, null, blank, or holds nothing but the schema's defaults."""
    defaults = {"companyStatus": "AUTRE", "transactionCategory": "SERVICES"}
    for company in (..., None, {}, {"name": "", "siret": "  ", "address": None}, defaults):
        patch.stamped("invoices", patch.user(company=company))
    patch.user(company="Atelier", profile=None)
    patch.user(company=..., profile=...)


@case("email-not-normal")
def _(patch: Patch) -> None:
    """The address has upper case or blanks, a plus, a long ending, or is no address."""
    token = str(patch.id())
    patch.user(email=f" Camille.{token}@Exemple.FR ")
    patch.user(email=f"camille+{token}@exemple.fr")
    patch.user(email=f"camille@{token}.online")
    patch.user(email=f"camille {token}")


@case("email-missing")
def _(patch: Patch) -> None:
    """There is no address: absent, blank, or no text."""
    for email in (..., "", "  ", 42):
        user = patch.user(Outcome.QUARANTINED, reason=Reason.EMAIL_MISSING, email=email)
        patch.left("invoices", user, Reason.OWNER_QUARANTINED)


@case("email-twice-by-case")
def _(patch: Patch) -> None:
    """Two legacy users have addresses that differ by case alone."""
    local = f"camille.{patch.id()}"
    for email in (f"{local}@exemple.fr", f"{local.capitalize()}@Exemple.fr"):
        user = patch.user(Outcome.QUARANTINED, reason=Reason.DUPLICATE_EMAIL, email=email)
        patch.left("quotes", user, Reason.OWNER_QUARANTINED)


@case("registered-again-verified")
def _(patch: Patch) -> None:
    """The address is a user's under another id, who has proven that it is theirs."""
    target = patch.id()
    home = organization_id(target)
    user = patch.user(Outcome.ALIASED, user_id=target, workspace=home)
    patch.target_user(user["email"], _id=target)
    legacy: Any = user["_id"]
    for collection, field in (("invoices", "createdBy"), ("events", "userId")):
        patch.add(
            collection,
            patch.make(collection, user),
            Action.STAMP,
            workspace=home,
            owners={field: target},
        )
    patch.add(
        "expenses",
        patch.make("expenses", user, createdBy=str(legacy), workspaceId=legacy),
        Action.STAMP,
        workspace=home,
        owners={"createdBy": str(target)},
    )
    patch.add(
        "filetransfers",
        patch.make("filetransfers", user),
        Action.STAMP,
        workspace=home,
        owners={"userId": target},
    )
    for collection in ("integrations", "stripeconnectaccounts"):
        document = patch.make(collection, user)
        patch.add(collection, document, Action.STAMP, owners={"userId": target})
    other = patch.user()
    links = {"referredUserId": other["_id"], "transferId": patch.id()}
    referral = patch.make("referralevents", user, links)
    patch.add("referralevents", referral, Action.STAMP, owners={"referrerId": target})
    referred = patch.make("referralevents", other, {"referredUserId": legacy})
    patch.add("referralevents", referred, Action.STAMP, owners={"referredUserId": target})
    grant = patch.make("accessgrants", user, links)
    patch.add("accessgrants", grant, Action.STAMP, owners={"buyerId": str(target)})


@case("registered-again-unverified")
def _(patch: Patch) -> None:
    """Somebody registered the address and has not proven that it is theirs."""
    user = patch.user(Outcome.QUARANTINED, reason=Reason.ALIAS_UNVERIFIED)
    patch.target_user(user["email"], emailVerified=False)
    patch.left("invoices", user, Reason.OWNER_QUARANTINED)


@case("registered-again-twice")
def _(patch: Patch) -> None:
    """Two users have the address, or one whose id nothing can refer to."""
    user = patch.user(Outcome.QUARANTINED, reason=Reason.ALIAS_AMBIGUOUS)
    patch.target_user(user["email"])
    patch.target_user(user["email"].upper())
    patch.left("clients", user, Reason.OWNER_QUARANTINED)
    other = patch.user(Outcome.QUARANTINED, reason=Reason.ALIAS_AMBIGUOUS)
    patch.target_user(other["email"], _id=str(patch.id()))


@case("user-there-already")
def _(patch: Patch) -> None:
    """An earlier attempt copied the user and stopped before the organization."""
    user = patch.user(Outcome.MERGED)
    fields = {"workspaceId": str(patch.id()), "organizationId": str(patch.id())}
    patch.target_user(user["email"], _id=user["_id"], name="", **fields)
    patch.stamped("invoices", user)


@case("owner-of-one-organization")
def _(patch: Patch) -> None:
    """The user owns an organization, is a member of another, and keeps their own."""
    identifier, home = patch.id(), patch.id()
    user = patch.user(Outcome.MERGED, workspace=home, _id=identifier)
    patch.target_user(user["email"], _id=identifier)
    patch.organization(identifier, _id=home, metadata={"type": "business"}, slug=None)
    patch.organization(identifier, role="member")
    document = patch.make("invoices", user)
    patch.add("invoices", document, Action.STAMP, workspace=home)


@case("owner-of-several-organizations")
def _(patch: Patch) -> None:
    """The user owns two organizations: nobody can say whose their documents are."""
    identifier = patch.id()
    user = patch.user(Outcome.MERGED, several=True, _id=identifier)
    patch.target_user(user["email"], _id=identifier)
    patch.organization(identifier)
    patch.organization(identifier, role="member,owner")
    patch.left("invoices", user, Reason.OWNER_AMBIGUOUS)


@case("only-a-guest")
def _(patch: Patch) -> None:
    """The user is only a member of somebody else's organization, and gets their own."""
    identifier = patch.id()
    user = patch.user(Outcome.MERGED, _id=identifier)
    patch.target_user(user["email"], _id=identifier)
    patch.organization(identifier, role="member")
    patch.stamped("invoices", user)


@case("slug-taken")
def _(patch: Patch) -> None:
    """Another organization has the slug that would be theirs."""
    user = patch.user()
    patch.organization(
        patch.target_user(f"{patch.id()}@exemple.fr"), slug=f"org-{str(user['_id'])[-8:]}"
    )


@case("broken-memberships")
def _(patch: Patch) -> None:
    """Memberships with text for ids, of no organization, of nobody; organizations of nobody."""
    user = patch.target_user(f"{patch.id()}@exemple.fr")
    organization = patch.organization()
    patch.member(str(organization), str(user))
    patch.member(patch.id(), user)
    patch.member(organization, patch.id(), "member")
    patch.member(organization, None, "member")


@case("passwords")
def _(patch: Patch) -> None:
    """Hashes of all kinds, none at all, text in clear, and accounts that are there already."""
    bcrypt = next(iter(PASSWORDS.values()))
    for password in (f"$2y{bcrypt[3:]}", _SCRYPT, "", None, ..., "motdepasse", 1234):
        patch.user(password=password)
    for account in (
        {"providerId": "credential", "password": _SCRYPT},
        {"providerId": "google", "accessToken": "jeton"},
    ):
        identifier = patch.id()
        user = patch.user(Outcome.MERGED, _id=identifier)
        patch.target_user(user["email"], _id=identifier)
        link = {"_id": patch.id(), "accountId": str(identifier), "userId": identifier}
        patch.add("account", {**link, **account})


@case("flags-and-dates")
def _(patch: Patch) -> None:
    """Users are disabled or unverified, and dates are missing or text."""
    patch.user(isDisabled=True, isEmailVerified=False)
    patch.user(isDisabled=..., isEmailVerified=..., createdAt=..., updatedAt=None)
    patch.user(createdAt="2025-03-01T10:00:00.000Z", isEmailVerified="true")


@case("phone-and-code-twice")
def _(patch: Patch) -> None:
    """Referral codes are null or blank, and a phone number or a code is somebody else's."""
    patch.user(referralCode=None)
    patch.user(referralCode="")
    phone = {"firstName": "Camille", "phone": "0612121212"}
    patch.user(profile=phone)
    patch.user(profile=dict(phone))
    other = patch.user()
    patch.target_user(f"{patch.id()}@exemple.fr", referralCode=other["referralCode"])


@case("user-without-objectid")
def _(patch: Patch) -> None:
    """The ``_id`` of a legacy user is text, so nothing that refers to it can be resolved."""
    name = f"user-{patch.id()}"
    user = patch.user(Outcome.QUARANTINED, reason=Reason.ID_NOT_OBJECT_ID, _id=name)
    patch.left("invoices", user, Reason.OWNER_MALFORMED)


@case("user-of-invalid-text")
def _(patch: Patch) -> None:
    """A legacy user's document holds text that is no UTF-8."""
    user = patch.user(Outcome.QUARANTINED, reason=Reason.UNREADABLE)
    patch.left("invoices", user, Reason.OWNER_QUARANTINED)
    patch.documents[patch.source][-1] = raw(user, invalid_text("surname"))
