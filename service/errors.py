"""
The errors of the service, split by what is to be done next.

BuildrCallsError
├── MessageError                  about one webhook message
│   ├── UnknownSource             404
│   ├── WrongMethod               405
│   ├── ReadTimeout               408
│   ├── PayloadTooLarge           413
│   ├── UnsupportedContentType    415
│   ├── InvalidSignature          401
│   ├── IgnoredEvent              2xx, counted
│   ├── UnsupportedEvent          2xx, kept as failed: a word that no table knows
│   └── MalformedPayload          2xx, kept as failed: genuine, but cannot be read
├── QueueUnavailable              503
└── BuildrError                   about one request to Buildr
    ├── BuildrUnavailable         retried later each time: no answer, or 5xx
    ├── BuildrRateLimited         waits as told, costs no attempt
    ├── BuildrUnauthorized        retried slowly; a person must look
    └── BuildrRejected            stops: 4xx that will not heal
SettingsError                     outside the tree, so that no handler takes it for something that passes
"""

from http import HTTPStatus
from typing import ClassVar


class BuildrCallsError(Exception):
    """The root of everything that this program raises while it runs."""


class MessageError(BuildrCallsError):
    """
    Something about one webhook message; `http_status` and `title` are what its sender may be told.
    """

    http_status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    title: ClassVar[str] = "The message could not be handled"
    kept_as_failed: ClassVar[bool] = False


class UnknownSource(MessageError):
    """Raised when no source of that name exists, or it has no secret and is therefore off."""

    http_status = HTTPStatus.NOT_FOUND
    title = "No such webhook"


class WrongMethod(MessageError):
    """Raised when the source does not send its webhooks with this method."""

    http_status = HTTPStatus.METHOD_NOT_ALLOWED
    title = "Method not allowed"


class ReadTimeout(MessageError):
    """Raised when the body did not arrive in time."""

    http_status = HTTPStatus.REQUEST_TIMEOUT
    title = "The request took too long to arrive"


class PayloadTooLarge(MessageError):
    """Raised when the body is larger than `MAX_BODY_BYTES`."""

    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "The message is too large"


class UnsupportedContentType(MessageError):
    """Raised when the source never sends bodies of this content type."""

    http_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    title = "Unsupported content type"


class InvalidSignature(MessageError):
    """
    Raised when the message is not proved genuine; the reason is for our log, never for the sender.
    """

    http_status = HTTPStatus.UNAUTHORIZED
    title = "The signature is missing or wrong"


class IgnoredEvent(MessageError):
    """
    Raised for a genuine message of a kind that is known and not wanted; answered 2xx and counted.
    """

    http_status = HTTPStatus.OK
    title = "Nothing to do"


class UnsupportedEvent(MessageError):
    """Raised for a genuine message whose word no table knows; `word` is the source's own."""

    http_status = HTTPStatus.OK
    title = "Kept for a person to look at"
    kept_as_failed = True

    def __init__(self, word: str) -> None:
        super().__init__(f"unknown word {word!r}")
        self.word = word


class MalformedPayload(MessageError):
    """
    Raised for a genuine message that cannot be read; it is kept raw, so that a later version can.
    """

    http_status = HTTPStatus.OK
    title = "Kept for a person to look at"
    kept_as_failed = True


class QueueUnavailable(BuildrCallsError):
    """Raised when Redis has not confirmed that a message is kept; the sender must send it again."""

    http_status: ClassVar[int] = HTTPStatus.SERVICE_UNAVAILABLE
    title: ClassVar[str] = "The message was not accepted, send it again"

    def __init__(self, reason: str, *, retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class BuildrError(BuildrCallsError):
    """
    Something about one request to Buildr; `cause` is the word under which a failed call is filed.
    """

    cause: ClassVar[str] = "buildr_error"
    retryable: ClassVar[bool] = False
    costs_attempt: ClassVar[bool] = True

    def __init__(
        self, message: str, *, status_code: int | None = None, answer: str | None = None
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.answer = answer


class BuildrUnavailable(BuildrError):
    """Raised when no answer came, or a 5xx, or an answer that is not Buildr's."""

    cause = "buildr_unavailable"
    retryable = True


class BuildrRateLimited(BuildrError):
    """
    Raised on a 429; `retry_after_s` is Buildr's own word in seconds, or None if it gave none;
    `bucket` names the budget.
    """

    cause = "buildr_rate_limited"
    retryable = True
    costs_attempt = False

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None,
        bucket: str | None = None,
        answer: str | None = None,
    ) -> None:
        super().__init__(message, status_code=HTTPStatus.TOO_MANY_REQUESTS, answer=answer)
        self.retry_after_s = retry_after_s
        self.bucket = bucket


class BuildrUnauthorized(BuildrError):
    """Raised when Buildr refuses the credentials (401), or what they may do (403)."""

    cause = "buildr_unauthorized"
    retryable = True


class BuildrRejected(BuildrError):
    """
    Raised when Buildr refuses this very request (400, 404, 409, 422 and the like): sending it again
    will not help.
    """

    cause = "buildr_rejected"


class SettingsError(Exception):
    """
    Raised at start with every fault of the settings at once; `faults` holds one line each, with the
    cure.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
