"""Errors of the driver: which of several is told, and what is said of it."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest
from bson.errors import InvalidBSON, InvalidDocument
from dns.resolver import NXDOMAIN
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    InvalidName,
    InvalidOperation,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from newbi_migrate.errors import (
    ExitCode,
    LeaseLostError,
    NewbiMigrateError,
    UnreachableError,
    UsageError,
)
from newbi_migrate.server_codes import Code
from newbi_migrate.store.faults import explained, first_error, is_transient, task_group


def told(error):
    """What is said of an error."""
    with pytest.raises(NewbiMigrateError) as caught, explained("planning"):
        raise error
    return caught.value


def test_the_first_error_of_a_group_is_the_one_that_was_not_cancelled():
    """However deep it lies: the tasks beside it were only cancelled."""
    error = AutoReconnect("gone")
    inner = BaseExceptionGroup("inner", [asyncio.CancelledError(), error])
    group = BaseExceptionGroup("outer", [asyncio.CancelledError(), inner])

    assert error is first_error(group)


async def test_a_group_of_tasks_raises_the_error_and_not_a_group():
    """With its cause, which tells a run whether to try again."""
    cause = AutoReconnect("gone")

    async def fail():
        raise UnreachableError("The connection was lost.") from cause

    async def together():
        async with task_group() as tasks:
            tasks.create_task(fail())
            tasks.create_task(asyncio.sleep(10))

    with pytest.raises(UnreachableError) as caught:
        await together()

    assert cause is caught.value.__cause__


def test_an_error_of_the_driver_in_a_group_is_explained():
    """A group that somebody's own tasks raised is no defect of ours."""
    group = ExceptionGroup("tasks", [ExceptionGroup("more", [AutoReconnect("gone")])])

    assert ExitCode.UNREACHABLE is told(group).exit_code


def test_another_error_in_a_group_is_raised_as_it_is():
    """What is ours keeps its own sentence and exit code."""
    error = LeaseLostError("The lease was lost.")

    assert error is told(ExceptionGroup("tasks", [error]))


@pytest.mark.parametrize(
    ("code", "message", "expected", "words"),
    [
        (Code.NO_QUERY_EXECUTION_PLANS, "… 'notablescan' …", ExitCode.UNREACHABLE, "notablescan"),
        (Code.API_STRICT_ERROR, "", ExitCode.UNREACHABLE, "the Stable API"),
        (Code.API_VERSION_REQUIRED, "", ExitCode.UNREACHABLE, "requireApiVersion"),
        (
            Code.DATABASE_DIFFER_CASE,
            "db already exists with different case already have: [newbi] trying to create [Newbi]",
            ExitCode.USAGE,
            "the database 'newbi' already",
        ),
        (Code.UNAUTHORIZED, "", ExitCode.UNREACHABLE, "may not"),
        (Code.OUT_OF_DISK_SPACE, "", ExitCode.UNREACHABLE, "no disk space"),
        (Code.MAX_TIME_MS_EXPIRED, "", ExitCode.UNREACHABLE, "out of time"),
        (Code.WRITE_CONCERN_TIMEOUT, "", ExitCode.UNREACHABLE, "by a majority"),
        (Code.NOT_WRITABLE_PRIMARY, "", ExitCode.UNREACHABLE, "changing its primary"),
        (Code.CURSOR_NOT_FOUND, "", ExitCode.UNREACHABLE, "closed a cursor"),
        (Code.CURSOR_KILLED, "", ExitCode.UNREACHABLE, "closed a cursor"),
        (Code.CAPPED_POSITION_LOST, "", ExitCode.UNREACHABLE, "capped collection"),
        (Code.SNAPSHOT_TOO_OLD, "", ExitCode.UNREACHABLE, "data of the moment"),
        (Code.SNAPSHOT_UNAVAILABLE, "", ExitCode.UNREACHABLE, "data of the moment"),
        (Code.CLIENT_DISCONNECT, "", ExitCode.UNREACHABLE, "code 279"),
        (Code.TRANSACTION_EXCEEDED_LIFETIME, "", ExitCode.UNREACHABLE, "code 290"),
        (Code.ILLEGAL_OPERATION, "", ExitCode.UNEXPECTED, "code 20"),
    ],
)
def test_a_refusal_of_the_server_is_said_by_its_code(code, message, expected, words):
    """With what is to be done about it, and nothing of what the server quotes."""
    error = told(OperationFailure(f"{message} ana@exemple.fr", code.value))

    assert expected is error.exit_code
    assert words in error.what
    assert error.next_step
    assert "ana" not in str(error)


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (InvalidBSON("ana"), ExitCode.UNREACHABLE, "could not be decoded"),
        (InvalidDocument("ana"), ExitCode.UNEXPECTED, "could not be written as BSON"),
        (OverflowError("ana"), ExitCode.UNEXPECTED, "could not be written as BSON"),
        (
            AutoReconnect(f"mongo:27017: [Errno 24] {os.strerror(errno.EMFILE)}"),
            ExitCode.LOCAL_FILE,
            "may not open as many files",
        ),
        (InvalidName("ana"), ExitCode.USAGE, "that MongoDB does not allow"),
        (InvalidOperation("ana"), ExitCode.USAGE, "the client is closed"),
        (ServerSelectionTimeoutError("ana"), ExitCode.UNREACHABLE, "No MongoDB server"),
        (ConfigurationError("ana"), ExitCode.USAGE, "do not fit"),
        (
            ConfigurationError("MONGODB-AWS requires: pip install 'pymongo[aws]'"),
            ExitCode.USAGE,
            "pymongo[aws]",
        ),
    ],
)
def test_an_error_of_the_driver_is_said_by_its_kind(error, expected, words):
    """Nothing of its message is passed on."""
    found = told(error)

    assert expected is found.exit_code
    assert words in found.what
    assert "ana" not in str(found)


def test_a_name_that_dns_does_not_know_is_unreachable():
    """A mistyped host is no mistake in the options."""
    error = ConfigurationError("no such name")
    error.__cause__ = NXDOMAIN()
    with pytest.raises(UnreachableError, match="DNS lookup") as caught, explained("connecting"):
        raise error

    assert not isinstance(caught.value, UsageError)


def test_transaction_numbers_on_a_standalone_pass():
    """The driver asks for them where it does not know the server yet; other such codes stay."""
    message = "Transaction numbers are only allowed on a replica set member or mongos"
    refused = OperationFailure(message, Code.ILLEGAL_OPERATION.value)

    assert is_transient(refused)
    assert not is_transient(OperationFailure("", Code.ILLEGAL_OPERATION.value))
    assert ExitCode.UNREACHABLE is told(refused).exit_code


def test_a_statement_whose_plan_was_killed_is_looked_at_again():
    """Somebody dropped or renamed the collection, or an index: what is there now decides."""
    assert is_transient(OperationFailure("collection renamed", Code.QUERY_PLAN_KILLED.value))
