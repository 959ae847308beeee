"""
Aircall: webhooks that never expire, and that are switched off after some 50 failed deliveries.

API: https://developer.aircall.io/api-references/#webhooks. Each webhook has a token of its own,
which Aircall chooses and shows through the API only. That token proves its messages, so that one
whose token is not set here is never switched on, and the worker makes none: only an operator can
carry a new token into the settings. That `PUT` takes `active` and `url` beside `events` is what
integrations do; it was not tried against Aircall.
"""

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import httpx

from service.sources.aircall.vocabulary import EVENT_TYPES
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
from workers.subscriptions.errors import NotReady, VendorUnavailable
from workers.subscriptions.target import Target
from workers.subscriptions.types import (
    Action,
    Issue,
    State,
    Subscription,
)

TITLE: Final = "Aircall"
NEEDS: Final = ("api_id", "api_token")
PATH: Final = "/webhooks"
NAME: Final = "buildr-calls"
PER_PAGE: Final = "50"
EVENTS: Final = frozenset(EVENT_TYPES)
# Without this a call never ends.
NEEDED: Final = frozenset({"call.ended"})


class Aircall:
    """
    Aircall's API; `save` writes a token down where the operator wants it, None where nobody can.
    """

    by_hand: Final = (
        "run `buildr-calls subscriptions ensure aircall --token-to FILE`, put what is in the file "
        "into AIRCALL_TOKEN "
        "(or name the file in AIRCALL_TOKEN_FILE), and restart"
    )

    def __init__(
        self,
        target: Target,
        *,
        save: Callable[[str], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._target: Final = target
        self._save: Final = save
        self._api: Final = Api(
            title=TITLE,
            url=target.api["api_url"],
            cure="check AIRCALL_API_ID and AIRCALL_API_TOKEN",
            confidential=target.confidential,
            transport=transport,
        )
        self._api.use_password(target.api["api_id"], target.api["api_token"])

    @property
    def supported_fixes(self) -> Mapping[Issue, Action]:
        """What can be fixed; making a webhook needs a place for its new token."""
        fixes = {
            Issue.DISABLED: Action.ENABLE,
            Issue.ADDRESS: Action.UPDATE,
            Issue.EVENTS: Action.UPDATE,
        }
        if self._save is not None:
            fixes[Issue.MISSING] = Action.CREATE
            fixes[Issue.SIGNING_SECRET] = Action.SAVE
        return fixes

    async def list_subscriptions(self, now: datetime) -> list[Subscription]:
        """The webhooks of the company."""
        records = await every_page(TITLE, self._page)
        return [
            await self._read(record)
            for record in records
            if has_id(
                TITLE, record, "webhook_id", is_ours=self._target.is_ours(text(record, "url"))
            )
        ]

    async def create(self, like: Subscription | None) -> str:
        """Make one, and write its token down."""
        body: dict[str, object] = {
            "custom_name": NAME,
            "url": self._target.address,
            "events": sorted(EVENTS),
        }
        made = child(await self._api.send("POST", PATH, body), "webhook")
        webhook_id = id_of(TITLE, made, "webhook_id")
        self._write(text(made, "token") or await self._token_of(webhook_id))
        return webhook_id

    async def update(self, subscription: Subscription) -> None:
        """Switch it on, at the present address, with all events that are needed."""
        events: list[str] = []
        # No events at all means every one.
        if subscription.events:
            events = sorted(subscription.events | EVENTS)
        body: dict[str, object] = {"url": self._target.address, "events": events, "active": True}
        await self._api.send("PUT", f"{PATH}/{subscription.subscription_id}", body)

    async def remove(self, subscription: Subscription) -> None:
        """Delete it."""
        await self._api.delete(f"{PATH}/{subscription.subscription_id}")

    async def save_token(self, subscription: Subscription) -> None:
        """Read its token once more, and write it down."""
        self._write(await self._token_of(subscription.subscription_id))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _page(self, number: str) -> tuple[list[Fields], str]:
        number = number or "1"
        page = await self._api.get(PATH, page=number, per_page=PER_PAGE)
        # The address of the next page is not followed: the credentials go to this one only.
        following = ""
        if text(child(page, "meta"), "next_page_link"):
            following = str(int(number) + 1)
        return objects(TITLE, page, "webhooks"), following

    async def _token_of(self, webhook_id: str) -> str:
        return text(child(await self._api.get(f"{PATH}/{webhook_id}"), "webhook"), "token")

    def _write(self, token: str) -> None:
        if not token:
            raise VendorUnavailable(
                "Aircall answered without the webhook's token; run the command again"
            )
        if self._save is None:
            raise NotReady("there is no place for the webhook's token")
        self._save(token)

    async def _read(self, fields: Fields) -> Subscription:
        url = text(fields, "url")
        events = texts(fields, "events")
        is_ours = self._target.is_ours(url)
        state = State.ACTIVE
        if fields.get("active") is False:
            state = State.DISABLED
        issues = await self._issues(fields, state)
        detail = None
        if Issue.SIGNING_SECRET in issues:
            detail = "its token is not in AIRCALL_TOKEN"
        return Subscription(
            subscription_id=text(fields, "webhook_id"),
            address=self._target.shown(url),
            state=state,
            is_ours=is_ours,
            detail=detail,
            has_calls=not events or any(event.startswith("call.") for event in events),
            events=events,
            issues=tuple(issues),
        )

    async def _issues(self, fields: Fields, state: State) -> list[Issue]:
        issues: list[Issue] = []
        if state is State.DISABLED:
            issues.append(Issue.DISABLED)
        url = text(fields, "url")
        if not self._target.is_ours(url):
            return issues
        token = text(fields, "token") or await self._token_of(text(fields, "webhook_id"))
        if not self._is_proved(token):
            # Enabled with a token that the receiver refuses, it would only be disabled again.
            return [Issue.SIGNING_SECRET]
        if not self._target.is_present(url):
            issues.append(Issue.ADDRESS)
        events = texts(fields, "events")
        if events and not events >= NEEDED:
            issues.append(Issue.EVENTS)
        return issues

    def _is_proved(self, token: str) -> bool:
        matches = [
            hmac.compare_digest(secret.encode(), token.encode("utf-8", "replace"))
            for secret in self._target.secrets
        ]
        return any(matches)
