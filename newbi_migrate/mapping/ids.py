"""Ids of the documents a migration creates, derived from the user's id.

A plan can therefore name the very documents a run will write, and a second run finds them.
"""

from __future__ import annotations

from hashlib import blake2b

from bson import ObjectId

__all__ = ["account_id", "derive_id", "member_id", "organization_id"]


def derive_id(kind: str, user_id: ObjectId) -> ObjectId:
    """An ObjectId that follows from a kind of document and a user's id.

    The first four bytes, an ObjectId's creation time, are the user's own, so that documents
    sort as their users do; the other eight are a hash.
    """
    digest = blake2b(user_id.binary, digest_size=8, key=f"newbi_migrate:{kind}".encode())
    return ObjectId(user_id.binary[:4] + digest.digest())


def organization_id(user_id: ObjectId) -> ObjectId:
    """Id of the organization created for a user."""
    return derive_id("organization", user_id)


def member_id(user_id: ObjectId) -> ObjectId:
    """Id of the membership that makes a user the owner of the created organization."""
    return derive_id("member", user_id)


def account_id(user_id: ObjectId) -> ObjectId:
    """Id of the credential account created for a user."""
    return derive_id("account:credential", user_id)
