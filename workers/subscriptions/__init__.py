"""
The upkeep of webhook subscriptions at vendors: made, renewed before they end, made anew when they were switched off.

`VENDORS` are those whose API allows it. Every other source's addresses are set by hand, see docs/telephony.
"""

from typing import Final

from workers.subscriptions import (
    aircall,
    dialpad,
    ringcentral,
    zoom,
)
from workers.subscriptions.errors import (
    NotReady,
    UpkeepError,
    VendorBusy,
    VendorRefuses,
    VendorRejected,
    VendorUnavailable,
)
from workers.subscriptions.reconcile import (
    Kind,
    Report,
    Save,
    lease,
    look_after,
    plan,
)
from workers.subscriptions.scheduler import EVERY_S, Watch
from workers.subscriptions.target import is_set_up
from workers.subscriptions.types import (
    DONE,
    Action,
    State,
    Step,
    Subscription,
)

VENDORS: Final[tuple[Kind, ...]] = (
    Kind(
        slug="aircall",
        needs=aircall.NEEDS,
        make=lambda target, save, transport: aircall.Aircall(target, save=save, transport=transport),
        is_chooser=True,
    ),
    Kind(
        slug="dialpad",
        needs=dialpad.NEEDS,
        make=lambda target, save, transport: dialpad.Dialpad(target, transport=transport),  # noqa: ARG005 - its secret is ours
    ),
    Kind(
        slug="ringcentral",
        needs=ringcentral.NEEDS,
        make=lambda target, save, transport: ringcentral.RingCentral(target, transport=transport),  # noqa: ARG005 - its secret is ours
    ),
    Kind(
        slug="zoom",
        needs=zoom.NEEDS,
        make=lambda target, save, transport: zoom.Zoom(target, transport=transport),  # noqa: ARG005 - its secret is the app's
    ),
)

__all__ = [
    "DONE",
    "EVERY_S",
    "VENDORS",
    "Action",
    "Kind",
    "NotReady",
    "Report",
    "Save",
    "State",
    "Step",
    "Subscription",
    "UpkeepError",
    "VendorBusy",
    "VendorRefuses",
    "VendorRejected",
    "VendorUnavailable",
    "Watch",
    "is_set_up",
    "lease",
    "look_after",
    "plan",
]
