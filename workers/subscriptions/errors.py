"""
What goes wrong while subscriptions are reconciled, each with one line for the operator.

UpkeepError
├── NotReady             settings that are missing or cannot be right
├── VendorUnavailable    no answer, 5xx, or one that is not the vendor's: the next run tries again
├── VendorBusy           429: the next run tries again
├── VendorRefuses        the credentials, or what they may do: an operator must act
└── VendorRejected       this very request; `code` is the vendor's own

No message holds anything that a vendor wrote but its code, since a text may repeat what was sent.
"""

from service.errors import BuildrCallsError


class UpkeepError(BuildrCallsError):
    """Something about one source's subscriptions."""


class NotReady(UpkeepError):
    """Raised when the settings do not say all that is needed."""


class VendorUnavailable(UpkeepError):
    """Raised when no usable answer came."""


class VendorBusy(UpkeepError):
    """Raised on a 429; `retry_after_s` is how many seconds the vendor asks to wait, if it says."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class VendorRefuses(UpkeepError):
    """Raised when the vendor refuses the credentials (401), or what they may do (403)."""


class VendorRejected(UpkeepError):
    """
    Raised when the vendor refuses a request for what it asks; `code` is empty where it gave none.
    """

    def __init__(self, message: str, *, status_code: int, code: str = "") -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
