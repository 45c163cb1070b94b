"""MongoDB's error codes by name, and the sets of them this tool tells apart.

The names are the server's own, see ``src/mongo/base/error_codes.yml`` in its source; those that
it leaves without one are said to be so.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import IntEnum
from typing import Final

__all__ = [
    "AUTHENTICATION",
    "CHANGING",
    "CURSOR_LOST",
    "INDEX_REFUSED",
    "INTERRUPTED",
    "NOT_FOUND",
    "ONE_DOCUMENT",
    "REPLY_TOO_LARGE",
    "SNAPSHOT_LOST",
    "STABLE_API",
    "TIMED_OUT",
    "TOO_LARGE",
    "TRANSIENT",
    "Code",
]


class Code(IntEnum):
    """An error code of the server."""

    BAD_VALUE = 2
    HOST_UNREACHABLE = 6
    HOST_NOT_FOUND = 7
    FAILED_TO_PARSE = 9
    UNAUTHORIZED = 13
    TYPE_MISMATCH = 14
    OVERFLOW = 15
    AUTHENTICATION_FAILED = 18
    ILLEGAL_OPERATION = 20
    INVALID_BSON = 22
    LOCK_TIMEOUT = 24
    NAMESPACE_NOT_FOUND = 26
    INDEX_NOT_FOUND = 27
    CURSOR_NOT_FOUND = 43
    LOCK_BUSY = 46
    NAMESPACE_EXISTS = 48
    MAX_TIME_MS_EXPIRED = 50
    STALE_SHARD_VERSION = 63
    WRITE_CONCERN_TIMEOUT = 64
    CANNOT_CREATE_INDEX = 67
    INDEX_OPTIONS_CONFLICT = 85
    INDEX_KEY_SPECS_CONFLICT = 86
    NETWORK_TIMEOUT = 89
    SHUTDOWN_IN_PROGRESS = 91
    WRITE_CONFLICT = 112
    CONFLICTING_OPERATION_IN_PROGRESS = 117
    DOCUMENT_VALIDATION_FAILURE = 121
    READ_CONCERN_MAJORITY_NOT_AVAILABLE_YET = 134
    CAPPED_POSITION_LOST = 136
    EXCEEDED_MEMORY_LIMIT = 146
    STALE_EPOCH = 150
    CANNOT_INDEX_PARALLEL_ARRAYS = 171
    CANNOT_BUILD_INDEX_KEYS = 201
    QUERY_PLAN_KILLED = 175
    PRIMARY_STEPPED_DOWN = 189
    INVALID_INDEX_SPECIFICATION_OPTION = 197
    DATABASE_DROP_PENDING = 215
    CURSOR_KILLED = 237
    SNAPSHOT_TOO_OLD = 239
    SNAPSHOT_UNAVAILABLE = 246
    NO_SUCH_TRANSACTION = 251
    EXCEEDED_TIME_LIMIT = 262
    PREPARED_TRANSACTION_IN_PROGRESS = 267
    INDEX_BUILD_ABORTED = 276
    CLIENT_DISCONNECT = 279
    TRANSACTION_EXCEEDED_LIFETIME = 290
    NO_QUERY_EXECUTION_PLANS = 291
    QUERY_EXCEEDED_MEMORY_LIMIT = 292
    API_VERSION_ERROR = 322
    API_STRICT_ERROR = 323
    INTERRUPTED_DUE_TO_STORAGE_CHANGE = 355
    TEMPORARILY_UNAVAILABLE = 365
    ATLAS_ERROR = 8000
    SOCKET_EXCEPTION = 9001
    NOT_WRITABLE_PRIMARY = 10107
    BSON_OBJECT_TOO_LARGE = 10334
    DUPLICATE_KEY = 11000
    INTERRUPTED_AT_SHUTDOWN = 11600
    INTERRUPTED = 11601
    INTERRUPTED_DUE_TO_REPL_STATE_CHANGE = 11602
    BACKGROUND_OPERATION_IN_DATABASE = 12586
    BACKGROUND_OPERATION_IN_NAMESPACE = 12587
    DATABASE_DIFFER_CASE = 13297
    STALE_CONFIG = 13388
    NOT_PRIMARY_NO_SECONDARY_OK = 13435
    NOT_PRIMARY_OR_SECONDARY = 13436
    OUT_OF_DISK_SPACE = 14031
    CLIENT_MARKED_KILLED = 46841
    # Without names. What an update would make of a document is too large, seen in two places.
    UPDATE_TOO_LARGE = 17419
    UPDATE_PIPELINE_TOO_LARGE = 17420
    # The server's parameter requireApiVersion is on, and the client names none.
    API_VERSION_REQUIRED = 498870


AUTHENTICATION: Final = frozenset({Code.AUTHENTICATION_FAILED, Code.ATLAS_ERROR})
"""The user name or the password is wrong."""

TIMED_OUT: Final = frozenset(
    {Code.MAX_TIME_MS_EXPIRED, Code.WRITE_CONCERN_TIMEOUT, Code.EXCEEDED_TIME_LIMIT}
)
"""The server ran out of the time it was given."""

CHANGING: Final = frozenset(
    {
        Code.HOST_UNREACHABLE,
        Code.HOST_NOT_FOUND,
        Code.STALE_SHARD_VERSION,
        Code.NETWORK_TIMEOUT,
        Code.SHUTDOWN_IN_PROGRESS,
        Code.READ_CONCERN_MAJORITY_NOT_AVAILABLE_YET,
        Code.STALE_EPOCH,
        Code.PRIMARY_STEPPED_DOWN,
        Code.SOCKET_EXCEPTION,
        Code.NOT_WRITABLE_PRIMARY,
        Code.STALE_CONFIG,
        Code.NOT_PRIMARY_NO_SECONDARY_OK,
        Code.NOT_PRIMARY_OR_SECONDARY,
        Code.INTERRUPTED_AT_SHUTDOWN,
        Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE,
    }
)
"""The primary stepped down, is shutting down, or is not known yet."""

CURSOR_LOST: Final = frozenset({Code.CURSOR_NOT_FOUND, Code.CURSOR_KILLED})
"""The server has closed what was being read."""

SNAPSHOT_LOST: Final = frozenset({Code.SNAPSHOT_TOO_OLD, Code.SNAPSHOT_UNAVAILABLE})
"""The snapshot is too old, or does not reach a collection."""

INTERRUPTED: Final = (
    CHANGING
    | CURSOR_LOST
    | SNAPSHOT_LOST
    | {
        # Somebody killed an operation, or was in its way.
        Code.WRITE_CONFLICT,
        Code.CONFLICTING_OPERATION_IN_PROGRESS,
        Code.DATABASE_DROP_PENDING,
        Code.PREPARED_TRANSACTION_IN_PROGRESS,
        Code.CLIENT_DISCONNECT,
        Code.INTERRUPTED,
        Code.BACKGROUND_OPERATION_IN_DATABASE,
        Code.BACKGROUND_OPERATION_IN_NAMESPACE,
        Code.CLIENT_MARKED_KILLED,
        # The storage engine had no room for it, or was exchanged.
        Code.TEMPORARILY_UNAVAILABLE,
        Code.INTERRUPTED_DUE_TO_STORAGE_CHANGE,
        # Somebody dropped or renamed the collection, or an index, that it was reading; or the
        # collection is capped, and writes overtook the reader.
        Code.QUERY_PLAN_KILLED,
        Code.CAPPED_POSITION_LOST,
        # A lock or a transaction was lost with it.
        Code.LOCK_TIMEOUT,
        Code.LOCK_BUSY,
        Code.NO_SUCH_TRANSACTION,
        Code.TRANSACTION_EXCEEDED_LIFETIME,
        Code.INDEX_BUILD_ABORTED,
    }
)
"""A statement was interrupted by what the server, or somebody else, is doing."""

TRANSIENT: Final = INTERRUPTED | TIMED_OUT
"""The same command may succeed a little later."""

TOO_LARGE: Final = frozenset(
    {Code.BSON_OBJECT_TOO_LARGE, Code.UPDATE_TOO_LARGE, Code.UPDATE_PIPELINE_TOO_LARGE}
)
"""A document would be larger than 16 MiB."""

REPLY_TOO_LARGE: Final = TOO_LARGE | {Code.EXCEEDED_MEMORY_LIMIT, Code.QUERY_EXCEEDED_MEMORY_LIMIT}
"""The reply to an aggregation, or one of its groups, would be too large."""

ONE_DOCUMENT: Final[AbstractSet[int]] = TOO_LARGE | {
    Code.DUPLICATE_KEY,
    Code.DOCUMENT_VALIDATION_FAILURE,
    Code.CANNOT_INDEX_PARALLEL_ARRAYS,
    # Without names: what an index for places, hashes or languages does not take.
    *(13026, 13027, 13068, 16755, 16804),
    16766,
    *(17261, 17262),
}
"""The server refused one document, not the whole statement."""

NOT_FOUND: Final = frozenset({Code.NAMESPACE_NOT_FOUND, Code.INDEX_NOT_FOUND})
"""There is no such collection or index."""

INDEX_REFUSED: Final = frozenset(
    {
        Code.DUPLICATE_KEY,
        Code.CANNOT_CREATE_INDEX,
        Code.INDEX_OPTIONS_CONFLICT,
        Code.INDEX_KEY_SPECS_CONFLICT,
        Code.CANNOT_INDEX_PARALLEL_ARRAYS,
        # Of a specification that no server takes: a registry has it, or somebody changed a record.
        Code.BAD_VALUE,
        Code.FAILED_TO_PARSE,
        Code.TYPE_MISMATCH,
        Code.INVALID_INDEX_SPECIFICATION_OPTION,
    }
)
"""The server would not create an index, as it is or beside what is there."""

STABLE_API: Final = frozenset(
    {Code.API_VERSION_ERROR, Code.API_STRICT_ERROR, Code.API_VERSION_REQUIRED}
)
"""The server has not what the client's version of the Stable API promises, or wants one."""
