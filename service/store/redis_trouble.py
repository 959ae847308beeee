"""
What an error of the connection to Redis means, for code that decides by it and for people.
"""

import ssl
from enum import StrEnum
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

# What calls to Redis raise when it takes nothing: redis-py's own errors, those of sockets that it
# lets through, and the one of `asyncio.timeout`. Not every OSError: a file that cannot be read is
# no trouble of Redis.
REDIS_ERRORS: Final = (RedisError, ConnectionError, TimeoutError)


class RedisTrouble(StrEnum):
    """Why Redis takes no writes now. The values are logged and printed."""

    AWAY = "away"  # no connection, or it was cut
    HUNG = "hung"  # connected, no answer in time
    FULL = "full"
    READ_ONLY = "read_only"  # a replica, or a primary that has become one
    LOADING = "loading"  # it reads its file after a start
    DISK = "disk"  # it cannot write its file
    REPLICAS = "replicas"  # too few replicas, or they have not confirmed
    BUSY = "busy"  # a script of somebody blocks it
    CONNECTIONS = "connections"  # too many clients
    CREDENTIALS = "credentials"  # wrong user or password
    PERMISSION = "permission"  # the ACL user may not do it
    CERTIFICATE = "certificate"
    DATABASE = "database"  # no database of the number in its address
    REFUSED = "refused"  # any other error answer: a bug, or records of another form

    @property
    def text(self) -> str:
        """What it means, in words for people."""
        return _TEXTS[self]

    @property
    def may_pass(self) -> bool:
        """Whether it may end without a change of settings, code or records."""
        return self not in _LASTING


_TEXTS: Final = {
    RedisTrouble.AWAY: "Redis does not answer",
    RedisTrouble.HUNG: "Redis does not answer in time",
    RedisTrouble.FULL: "Redis is full",
    RedisTrouble.READ_ONLY: "Redis is a read-only replica",
    RedisTrouble.LOADING: "Redis is loading its data",
    RedisTrouble.DISK: "Redis cannot write to its disk",
    RedisTrouble.REPLICAS: "Redis has too few replicas",
    RedisTrouble.BUSY: "Redis is busy with a script",
    RedisTrouble.CONNECTIONS: "Redis has too many connections",
    RedisTrouble.CREDENTIALS: "Redis refuses the user or password",
    RedisTrouble.PERMISSION: "Redis does not allow this user what it needs",
    RedisTrouble.CERTIFICATE: "the certificate of Redis is not accepted",
    RedisTrouble.DATABASE: "Redis has no database of this number",
    RedisTrouble.REFUSED: "Redis refuses a command",
}
_LASTING: Final = frozenset(
    {
        RedisTrouble.CREDENTIALS,
        RedisTrouble.PERMISSION,
        RedisTrouble.CERTIFICATE,
        RedisTrouble.DATABASE,
        RedisTrouble.REFUSED,
    }
)
# Parts of error answers. Of an error in a script, Redis before 7 gives the code within its text:
# "Error running script (call to ...): -OOM command not allowed".
_ANSWERS: Final = {
    "OOM ": RedisTrouble.FULL,
    "READONLY ": RedisTrouble.READ_ONLY,
    "UNBLOCKED ": RedisTrouble.READ_ONLY,
    "LOADING ": RedisTrouble.LOADING,
    "MASTERDOWN ": RedisTrouble.READ_ONLY,
    "MISCONF ": RedisTrouble.DISK,
    "NOREPLICAS ": RedisTrouble.REPLICAS,
    "BUSY ": RedisTrouble.BUSY,
    "max number of clients": RedisTrouble.CONNECTIONS,
    "NOAUTH ": RedisTrouble.CREDENTIALS,
    "WRONGPASS ": RedisTrouble.CREDENTIALS,
    "NOPERM ": RedisTrouble.PERMISSION,
    "DB index is out of range": RedisTrouble.DATABASE,
    # Redis Cluster has database 0 alone.
    "SELECT is not allowed": RedisTrouble.DATABASE,
}
# Most special first: redis-py derives some from its ConnectionError.
_TYPES: Final = (
    (OutOfMemoryError, RedisTrouble.FULL),
    (ReadOnlyError, RedisTrouble.READ_ONLY),
    (BusyLoadingError, RedisTrouble.LOADING),
    # Of a server that has just started or taken over.
    (NoScriptError, RedisTrouble.LOADING),
    (AuthenticationError, RedisTrouble.CREDENTIALS),
    (AuthenticationWrongNumberOfArgsError, RedisTrouble.CREDENTIALS),
    (AuthorizationError, RedisTrouble.CREDENTIALS),
    (NoPermissionError, RedisTrouble.PERMISSION),
    (ssl.SSLError, RedisTrouble.CERTIFICATE),
)


def classify_redis_error(err: BaseException) -> RedisTrouble:
    """
    What an error of `REDIS_ERRORS` means, or an error that was raised from one.

    An error that is none of Redis counts as `AWAY`.
    """
    causes = _with_causes(err)
    for cause in causes:
        trouble = _trouble_of(cause)
        if trouble is not None:
            return trouble
    if any(isinstance(cause, RedisTimeoutError | TimeoutError) for cause in causes):
        return RedisTrouble.HUNG
    if any(isinstance(cause, ResponseError) for cause in causes):
        return RedisTrouble.REFUSED
    return RedisTrouble.AWAY


def _trouble_of(err: BaseException) -> RedisTrouble | None:
    for error_type, trouble in _TYPES:
        if isinstance(err, error_type):
            return trouble
    if not isinstance(err, RedisError):
        return None
    message = str(err)
    for words, trouble in _ANSWERS.items():
        if words in message:
            return trouble
    return None


def _with_causes(err: BaseException) -> list[BaseException]:
    """The error and what it was raised from, the innermost first, which holds most."""
    causes = [err]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        if cause in causes:
            break
        causes.append(cause)
    return causes[::-1]
