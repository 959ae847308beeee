"""
Webhook subscriptions at vendors: created, renewed before they expire, re-created when the vendor
switched them off.

`VENDORS` are those whose API allows it. Every other source's addresses are set by hand, see
docs/telephony.
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
from workers.subscriptions.plan import plan_steps
from workers.subscriptions.reconcile import lease
from workers.subscriptions.report import Report
from workers.subscriptions.scheduler import CHECK_EVERY_S, EVERY_S, SubscriptionReconciler
from workers.subscriptions.spec import Save, VendorSpec
from workers.subscriptions.target import is_set_up
from workers.subscriptions.types import (
    DONE,
    Action,
    State,
    Step,
    Subscription,
)

VENDORS: Final[tuple[VendorSpec, ...]] = (
    VendorSpec(
        slug="aircall",
        needs=aircall.NEEDS,
        connect=lambda target, save, transport: aircall.Aircall(
            target, save=save, transport=transport
        ),
        vendor_issues_secret=True,
    ),
    VendorSpec(
        slug="dialpad",
        needs=dialpad.NEEDS,
        connect=lambda target, save, transport: dialpad.Dialpad(target, transport=transport),
    ),
    VendorSpec(
        slug="ringcentral",
        needs=ringcentral.NEEDS,
        connect=lambda target, save, transport: ringcentral.RingCentral(
            target, transport=transport
        ),
    ),
    VendorSpec(
        slug="zoom",
        needs=zoom.NEEDS,
        connect=lambda target, save, transport: zoom.Zoom(target, transport=transport),
    ),
)

__all__ = [
    "CHECK_EVERY_S",
    "DONE",
    "EVERY_S",
    "VENDORS",
    "Action",
    "NotReady",
    "Report",
    "Save",
    "State",
    "Step",
    "Subscription",
    "SubscriptionReconciler",
    "UpkeepError",
    "VendorBusy",
    "VendorRefuses",
    "VendorRejected",
    "VendorSpec",
    "VendorUnavailable",
    "is_set_up",
    "lease",
    "plan_steps",
]
