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
│   └── MalformedPayload          2xx, kept as failed: genuine, but cannot be read
├── QueueUnavailable              503
│   └── Overloaded                503: too much is in hand
└── BuildrError                   about one request to Buildr
    ├── BuildrUnavailable         retried, later each time: no answer, or 5xx
    ├── BuildrRateLimited         retried when Buildr says; costs no attempt
    ├── BuildrUnauthorized        retried slowly; an operator must act
    ├── BuildrNotTaken            retried a few times: a 200 that shows another value
    └── BuildrRejected            not retried: a 4xx that stays one
SettingsError                     outside the tree: no handler may take it for a passing fault
"""

from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar


class FailureCause(StrEnum):
    """
    Why a message or a call is filed as failed. The values are stored, logged and printed.

    `internal_error` is a bug of ours; the log has its traceback. `damaged_record`: what is stored
    of it cannot be read. Messages are filed with one of the first four, calls with one of the
    others, `damaged_record`, or `internal_error`.
    """

    MALFORMED_PAYLOAD = "malformed_payload"
    UNSUPPORTED_EVENT = "unsupported_event"
    INTERNAL_ERROR = "internal_error"
    DAMAGED_RECORD = "damaged_record"
    UNKNOWN_OUTCOME = "unknown_outcome"
    BUILDR_REJECTED = "buildr_rejected"
    BUILDR_UNAVAILABLE = "buildr_unavailable"
    BUILDR_RATE_LIMITED = "buildr_rate_limited"
    BUILDR_UNAUTHORIZED = "buildr_unauthorized"
    NOT_TAKEN = "not_taken"


class BuildrCallsError(Exception):
    """The root of everything that this program raises while it runs."""


class MessageError(BuildrCallsError):
    """
    Something about one webhook message; its sender is answered with `http_status` and `title`.
    """

    http_status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    title: ClassVar[str] = "The message could not be handled"


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


class MalformedPayload(MessageError):
    """
    Raised for a genuine message that cannot be read; it is kept raw, so that a later version of
    this program can read it.
    """

    http_status = HTTPStatus.OK
    title = "Kept for the operator to look at"


class QueueUnavailable(BuildrCallsError):
    """
    Raised when Redis has not confirmed that a message is kept; the sender must send it again, after
    `retry_after_s` seconds.
    """

    http_status: ClassVar[int] = HTTPStatus.SERVICE_UNAVAILABLE
    title: ClassVar[str] = "The message was not accepted, send it again"

    def __init__(self, reason: str, *, retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Overloaded(QueueUnavailable):
    """Raised when a request cannot be worked on, since too many or too large ones are in hand."""


class BuildrError(BuildrCallsError):
    """
    Something about one request to Buildr; only its subclasses are raised.

    A call that is given up on because of it is filed under `cause`; `retryable` errors may pass.
    `status_code` and `answer` (the text of the answer, cut off) are None where no answer came.
    `was_sent` is false where the request has certainly not reached Buildr.
    """

    cause: ClassVar[FailureCause]
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, status_code: int | None = None, answer: str | None = None
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.answer = answer
        self.was_sent = True

    @property
    def is_without_effect(self) -> bool:
        """
        Whether the request is certainly not carried out, now or later: refused, or never sent.

        A 5xx may come from a proxy, while Buildr is still at it.
        """
        if not self.was_sent:
            return True
        status = self.status_code
        if status is None:
            return False
        return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR


class BuildrUnavailable(BuildrError):
    """Raised when no answer came, or a 5xx, or an answer that is not Buildr's."""

    cause = FailureCause.BUILDR_UNAVAILABLE
    retryable = True


class BuildrRateLimited(BuildrError):
    """
    Raised on a 429; `retry_after_s` are the seconds of Buildr's Retry-After, or None without one,
    `bucket` is the name of the budget that is used up, where Buildr names it.
    """

    cause = FailureCause.BUILDR_RATE_LIMITED
    retryable = True

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

    cause = FailureCause.BUILDR_UNAUTHORIZED
    retryable = True


class BuildrNotTaken(BuildrError):
    """Raised when Buildr answers 200 and shows another value than the one that was sent."""

    cause = FailureCause.NOT_TAKEN
    retryable = True

    def __init__(self, message: str) -> None:
        super().__init__(message, status_code=HTTPStatus.OK)


class BuildrRejected(BuildrError):
    """
    Raised when Buildr refuses this very request (400, 404, 409, 422 and the like): sending it again
    will not help.
    """

    cause = FailureCause.BUILDR_REJECTED


class SettingsError(Exception):
    """
    Raised at start with every fault of the settings at once; `faults` holds one line for each that
    says how to repair it.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
