"""
Dialpad: a webhook, which holds address and secret, and call subscriptions, which say what goes
there; neither expires.

API: https://developers.dialpad.com/reference/webhookscreate and
/reference/webhook_call_event_subscriptioncreate; shapes from the vendor's own SDK,
github.com/dialpad/dialpad-python-sdk. Dialpad switches nothing off by itself: one that is off was
switched off by somebody, and is switched on again. Whether it shows a secret that was set is not
certain, so that a digest of ours is kept.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import httpx

from service.sources.dialpad.vocabulary import EVENT_TYPES
from workers.subscriptions.api import (
    Api,
    Fields,
    child,
    every_page,
    has_id,
    id_of,
    objects,
    text,
    texts,
)
from workers.subscriptions.errors import VendorUnavailable
from workers.subscriptions.target import Target
from workers.subscriptions.types import (
    Action,
    Issue,
    State,
    Subscription,
)

TITLE: Final = "Dialpad"
NEEDS: Final = ("api_key",)
WEBHOOKS: Final = "/webhooks"
PATH: Final = "/subscriptions/call"
EVERY: Final = "all"
STATES: Final = frozenset(EVENT_TYPES)
# Without these a call has no result.
NEEDED: Final = frozenset({"hangup", "missed", "blocked", "voicemail_uploaded"})


class Dialpad:
    """Dialpad's API, with a key."""

    supported_fixes: Final[Mapping[Issue, Action]] = {
        Issue.MISSING: Action.CREATE,
        Issue.DUPLICATE: Action.REMOVE,
        Issue.DISABLED: Action.ENABLE,
        Issue.ADDRESS: Action.UPDATE,
        Issue.SIGNING_SECRET: Action.UPDATE,
        Issue.EVENTS: Action.UPDATE,
    }
    by_hand: Final = "make the webhook and its call subscription as docs/telephony/dialpad.md shows"

    def __init__(
        self, target: Target, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._target: Final = target
        self._api: Final = Api(
            title=TITLE,
            url=target.api["api_url"],
            cure="check DIALPAD_API_KEY",
            confidential=target.confidential,
            transport=transport,
        )
        self._api.headers["Authorization"] = f"Bearer {target.api['api_key']}"

    async def list_subscriptions(self, now: datetime) -> list[Subscription]:
        """The call subscriptions of the company that go to a webhook."""
        return [
            self._read(subscription)
            for subscription in await self._pages(PATH)
            if has_id(
                TITLE, subscription, "id", is_ours=self._is_ours(child(subscription, "webhook"))
            )
        ]

    async def create(self, like: Subscription | None) -> str:
        """
        Make both, the webhook only if none of ours is there: it may have been left over by one that
        was cut short.
        """
        ours = [webhook for webhook in await self._pages(WEBHOOKS) if self._is_ours(webhook)]
        if ours:
            endpoint_id = id_of(TITLE, ours[0], "id")
            await self._put_webhook(endpoint_id)
        else:
            endpoint_id = id_of(
                TITLE, await self._api.send("POST", WEBHOOKS, self._webhook()), "id"
            )
        body: dict[str, object] = {
            "endpoint_id": _number(endpoint_id),
            "call_states": sorted(STATES),
            "enabled": True,
        }
        return id_of(TITLE, await self._api.send("POST", PATH, body), "id")

    async def update(self, subscription: Subscription) -> None:
        """Write address and secret anew, switch it on, add the states that are needed."""
        if subscription.endpoint_id is not None:
            await self._put_webhook(subscription.endpoint_id)
        if {Issue.DISABLED, Issue.EVENTS} & set(subscription.issues):
            body: dict[str, object] = {"enabled": True}
            if Issue.EVENTS in subscription.issues:
                body["call_states"] = sorted(subscription.events | STATES)
            await self._api.send("PATCH", f"{PATH}/{subscription.subscription_id}", body)

    async def remove(self, subscription: Subscription) -> None:
        """Delete the call subscription; its webhook may serve others."""
        await self._api.delete(f"{PATH}/{subscription.subscription_id}")

    async def save_token(self, subscription: Subscription) -> None:
        """Nothing: the secret is ours."""

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _put_webhook(self, endpoint_id: str) -> None:
        await self._api.send("PATCH", f"{WEBHOOKS}/{endpoint_id}", self._webhook())

    def _webhook(self) -> dict[str, object]:
        return {"hook_url": self._target.address, "secret": self._target.secret}

    async def _pages(self, path: str) -> list[Fields]:
        async def read(cursor: str) -> tuple[list[Fields], str]:
            params: dict[str, str] = {}
            if cursor:
                params["cursor"] = cursor
            page = await self._api.get(path, **params)
            # An empty list is left out.
            return objects(TITLE, page, "items", is_optional=True), text(page, "cursor")

        return await every_page(TITLE, read)

    def _is_ours(self, webhook: Fields) -> bool:
        return self._target.is_ours(text(webhook, "hook_url"))

    def _read(self, fields: Fields) -> Subscription:
        webhook = child(fields, "webhook")
        is_ours = self._is_ours(webhook)
        state = State.ACTIVE
        if fields.get("enabled") is False:
            state = State.DISABLED
        issues: list[Issue] = []
        if state is State.DISABLED:
            issues.append(Issue.DISABLED)
        endpoint_id = None
        if is_ours:
            issues += self._target_issues(fields)
            endpoint_id = id_of(TITLE, webhook, "id")
        return Subscription(
            subscription_id=text(fields, "id"),
            address=self._target.shown(text(webhook, "hook_url")),
            state=state,
            is_ours=is_ours,
            events=texts(fields, "call_states"),
            scope=_scope(fields),
            issues=tuple(issues),
            endpoint_id=endpoint_id,
        )

    def _target_issues(self, fields: Fields) -> list[Issue]:
        """How one of ours differs from the target."""
        issues: list[Issue] = []
        webhook = child(fields, "webhook")
        if not self._target.is_present(text(webhook, "hook_url")):
            issues.append(Issue.ADDRESS)
        shown_secret = text(child(webhook, "signature"), "secret")
        if not self._has_secret(text(fields, "id"), shown_secret):
            issues.append(Issue.SIGNING_SECRET)
        events = texts(fields, "call_states")
        if events and EVERY not in events and not events >= NEEDED:
            issues.append(Issue.EVENTS)
        return issues

    def _has_secret(self, subscription_id: str, shown: str) -> bool:
        is_shown = bool(shown) and hmac.compare_digest(
            shown.encode("utf-8", "replace"), self._target.secret.encode()
        )
        return is_shown or self._target.has_current_secret(subscription_id)


def _scope(fields: Fields) -> str:
    """Whose calls it brings: the target's type and id, and whether only a group's calls."""
    is_group_only = fields.get("group_calls_only") is True
    return f"{text(fields, 'target_type')}:{text(fields, 'target_id')}:{is_group_only}"


def _number(identifier: str) -> int:
    """Dialpad's ids are whole numbers. Raises `VendorUnavailable` for anything else."""
    if not identifier.isdecimal():
        raise VendorUnavailable("Dialpad named a webhook by something other than a number")
    return int(identifier)
