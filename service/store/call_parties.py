"""
Who a call was between, as its record holds it: what calls are searched by.
"""

from msgspec import Struct

from service.events import UtcDatetime


class CallParties(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The two ends of a call. `customer` and `line`, our own end, are E.164, or what the vendor wrote
    where it is no telephone number (`client:ana`). `started_at` (UTC) is as the source reports it.
    """

    direction: str | None = None
    customer: str | None = None
    line: str | None = None
    agent: str | None = None
    started_at: UtcDatetime | None = None
