"""What stands between a ``mongod`` that listens and one that tests can use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from newbi_migrate.errors import UsageError
from newbi_migrate.store.codes import Code

__all__ = ["create_administrator", "initiate", "option_names"]

_POLL_SECONDS = 0.005


def option_names(arguments: Sequence[str]) -> frozenset[str]:
    """The options among ``arguments``; each server parameter counts as an option of its own."""
    names = set()
    for argument, value in zip_longest(arguments, arguments[1:], fillvalue=""):
        if not argument.startswith("--"):
            continue
        name, has_value, attached = argument.partition("=")
        if name == "--setParameter":
            parameter = (attached if has_value else value).partition("=")[0]
            name = f"{name} {parameter}"
        names.add(name)
    return frozenset(names)


def initiate(
    address: str, replica_set: str, credentials: tuple[str, str] | None, *, seconds: float
) -> None:
    """Make the server the only member of a replica set, and wait until it is its primary.

    A data directory that was a replica set at another address becomes one at this address.

    Raises:
        UsageError: The server has users and these credentials are none of them.
        pymongo.errors.PyMongoError: The server refused, or was no primary after ``seconds``.
    """
    config: dict[str, Any] = {"_id": replica_set, "members": [{"_id": 0, "host": address}]}
    with _direct(address, credentials, seconds) as client:
        try:
            client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code == Code.UNAUTHORIZED:
                raise _has_users(address) from error
            if error.code != Code.ALREADY_INITIALIZED:
                raise
            _follow_address(client, address)
        deadline = time.monotonic() + seconds
        while not client.admin.command("hello").get("isWritablePrimary"):
            if time.monotonic() > deadline:
                raise ServerSelectionTimeoutError(f"no primary after {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)


def create_administrator(address: str, name: str, password: str, *, seconds: float) -> None:
    """Create the first user, who may do everything.

    Raises:
        UsageError: The server already has users.
        pymongo.errors.PyMongoError: The server refused.
    """
    # Not the client that initiated a replica set: it goes on believing that there are no sessions.
    with _direct(address, None, seconds) as client:
        try:
            client.admin.command("createUser", name, pwd=password, roles=["root"])
        except OperationFailure as error:
            if error.code == Code.UNAUTHORIZED:
                raise _has_users(address) from error
            raise


def _follow_address(client: MongoClient[dict[str, Any]], address: str) -> None:
    config = client.admin.command("replSetGetConfig")["config"]
    if [member["host"] for member in config["members"]] == [address]:
        return
    config["version"] += 1
    config["members"] = [{"_id": 0, "host": address}]
    client.admin.command("replSetReconfig", config, force=True)


def _has_users(address: str) -> UsageError:
    return UsageError(
        f"The data of the embedded mongod at {address} already have users.",
        next_step="Give an empty dbpath, or start it without auth.",
    )


def _direct(
    address: str, credentials: tuple[str, str] | None, seconds: float
) -> MongoClient[dict[str, Any]]:
    name, password = credentials or (None, None)
    return MongoClient(
        f"mongodb://{address}/?directConnection=true",
        username=name,
        password=password,
        serverSelectionTimeoutMS=int(seconds * 1000),
    )
