"""No secret a legacy user holds reaches what a run writes down of itself."""

from __future__ import annotations

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from fingerprints import changes, fingerprint
from small_legacy import BCRYPT, USERS, legacy_user

from newbi_migrate.answers import answer
from newbi_migrate.documents.registry import OWN_PREFIX
from newbi_migrate.errors import ExitCode
from newbi_migrate.mapping.users import FIELD_NOT_CARRIED
from newbi_migrate.migration.facade import Migration

RAW = CodecOptions(document_class=RawBSONDocument)
SECRET = "planted-secret"
PLANTED = {
    "passwordHistory": [f"{SECRET}-history"],
    "twoFactorSecret": f"{SECRET}-totp",
    "resetToken": f"{SECRET}-reset",
    "resetPasswordToken": f"{SECRET}-one-time",
    "sessions": {SECRET: True},
}
COMPANY = {"name": "Atelier", "secret": f"{SECRET}-company", "address": {"city": "Lyon"}}


def recorded(database):
    """All bytes of the tool's own collections."""
    return b"".join(
        bytes(document.raw)
        for name in database.list_collection_names()
        if name.startswith(OWN_PREFIX)
        for document in database[name].with_options(codec_options=RAW).find()
    )


@pytest.mark.parametrize("existing", [{}, {"company": {"siret": "1"}}], ids=["whole", "in part"])
@pytest.mark.parametrize("merged", [True, False], ids=["merged", "aliased"])
async def test_no_secret_of_an_existing_user_is_journaled(sync_database, uri, merged, existing):
    """It stays in the legacy document alone, and the plan names the field and no value."""
    legacy = {**legacy_user(0), **PLANTED, "company": COMPANY}
    sync_database["Users"].insert_one(legacy)
    email = {"email": legacy["email"], "emailVerified": True}
    sync_database["user"].insert_one({"_id": USERS[not merged], **email, **existing})
    before = fingerprint(sync_database, run_records=False)
    async with Migration(uri) as migration:
        plan = await migration.plan()
        result = await migration.apply()
        user = sync_database["user"].find_one()
        written = recorded(sync_database)
        again = await migration.apply()
        await migration.rollback()

    assert ExitCode.DONE == result.exit_code
    # Something was filled and journaled: the search would find a value.
    assert "Jeanne" == user["profile"]["firstName"]
    assert b"Jeanne" in written
    assert "Lyon" == user["company"]["address"]["city"]
    for text in (SECRET, BCRYPT):
        assert text.encode() not in written
        assert text not in str(answer(plan))
        assert text.encode() not in bson.encode(user)
    assert ["company.secret", "passwordHistory", "resetToken", "sessions", "twoFactorSecret"] == [
        finding.path for finding in plan.findings if finding.code == FIELD_NOT_CARRIED
    ]
    assert again.run_id is None
    assert [] == changes(before, fingerprint(sync_database, run_records=False))
