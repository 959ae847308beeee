"""
What a subscription at a vendor is, what can be wrong with it, and what is done about that.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct


class State(StrEnum):
    """The state of a subscription; `unknown` where the vendor does not report it."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    DISABLED = "disabled"
    UNKNOWN = "unknown"


class Issue(StrEnum):
    """What can be wrong with a subscription, the gravest first."""

    MISSING = "missing"
    DUPLICATE = "spare"
    EXPIRED = "expired"
    DISABLED = "disabled"
    EXPIRING = "expiring"
    ADDRESS = "address"
    SIGNING_SECRET = "proof"
    EVENTS = "events"


class Action(StrEnum):
    """
    What is done about it.

    `renew`, `enable` and `update` all bring a subscription to what it should be. `recreate` deletes
    it and makes it anew, `replace` makes the new one first. `save` writes down a secret that the
    vendor chose. `by_hand` is an operator's.
    """

    CREATE = "create"
    RENEW = "renew"
    ENABLE = "enable"
    UPDATE = "update"
    RECREATE = "recreate"
    REPLACE = "replace"
    REMOVE = "remove"
    SAVE = "save"
    BY_HAND = "by_hand"


WHY: Final[Mapping[Issue, str]] = {
    Issue.MISSING: "there is no subscription for calls at our address",
    Issue.DUPLICATE: "another subscription brings the same",
    Issue.EXPIRED: "it has expired",
    Issue.DISABLED: "the vendor has switched it off",
    Issue.EXPIRING: "it expires soon",
    Issue.ADDRESS: "its address has an older token",
    Issue.SIGNING_SECRET: "it may not have the present secret",
    Issue.EVENTS: "it lacks events",
}
DONE: Final[Mapping[Action, str]] = {
    Action.CREATE: "created",
    Action.RENEW: "renewed",
    Action.ENABLE: "enabled",
    Action.UPDATE: "updated",
    Action.RECREATE: "recreated",
    Action.REPLACE: "recreated",
    Action.REMOVE: "removed",
    Action.SAVE: "token_saved",
    Action.BY_HAND: "needs_a_person",
}
LIVING: Final = frozenset({State.ACTIVE, State.EXPIRING, State.UNKNOWN})


class Subscription(Struct, frozen=True, kw_only=True):
    """
    One subscription at a vendor; `expires_at` is UTC, None where it never expires.

    `address` is without its token and query; of a foreign one only its host is shown. `is_ours`: it
    leads to an address of ours. `has_calls`: it brings the calls, and not only something beside
    them. `events` and `scope` tell what it brings, and of whom. `issues` holds what is wrong with
    it; one that `is_fixed` cannot be changed through the API. `endpoint_id` is a second id, where
    the vendor keeps the address apart.
    """

    subscription_id: str
    address: str
    state: State
    is_ours: bool
    expires_at: datetime | None = None
    detail: str | None = None
    has_calls: bool = True
    events: frozenset[str] = frozenset()
    scope: str = ""
    issues: tuple[Issue, ...] = ()
    is_fixed: bool = False
    endpoint_id: str | None = None


class Step(Struct, frozen=True, kw_only=True):
    """One thing that is to be done, and why; without a subscription where there is none yet."""

    action: Action
    why: str
    subscription: Subscription | None = None


class Vendor(Protocol):
    """
    One vendor's API, for one reconciliation.

    An issue that is not in `supported_fixes` is left to an operator, and `by_hand` says how to fix
    it. Every method raises `UpkeepError`.
    """

    @property
    def supported_fixes(self) -> Mapping[Issue, Action]:
        """Which action fixes which issue; nothing else can be done through the API."""

    @property
    def by_hand(self) -> str:
        """What an operator has to do at the vendor, in one sentence."""

    async def list_subscriptions(self, now: datetime) -> list[Subscription]:
        """All webhook subscriptions that the credentials may see."""

    async def create(self, like: Subscription | None) -> str:
        """
        Make a subscription at the present address, with the events of another if one is given;
        gives its id.
        """

    async def update(self, subscription: Subscription) -> None:
        """Bring a subscription to its target: address, secret, events, expiry, switched on."""

    async def remove(self, subscription: Subscription) -> None:
        """Delete a subscription; one that is gone already is no error."""

    async def save_token(self, subscription: Subscription) -> None:
        """Write down the secret that the vendor chose for it."""

    async def close(self) -> None:
        """Close the connections."""
