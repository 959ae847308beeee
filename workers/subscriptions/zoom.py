"""
Zoom: event subscriptions of a Marketplace app; they never expire, and are switched off after six
failed validations of the address.

API: https://developers.zoom.us/docs/api/marketplace/, guide:
https://developers.zoom.us/docs/api/webhooks/ ("Configure webhooks via Zoom API"). It lists, makes
and deletes subscriptions. Making one has Zoom validate the address at once, with the app's own
secret token, which no API shows. What was clicked together in the app (`created_source` default)
cannot be changed through it. The list does not tell whether a subscription was switched off, so
that nothing here notices that. Not verified against Zoom: that `user_id=me`, which the list
demands, is taken from a server-to-server app; where it is not, listing fails with one line, and
nothing is made.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import httpx

from service.sources.zoom.vocabulary import LIVE, RECORDING, VOICEMAILS
from workers.subscriptions.api import (
    Api,
    Fields,
    every_page,
    has_id,
    id_of,
    objects,
    text,
    texts,
)
from workers.subscriptions.target import Target
from workers.subscriptions.types import (
    Action,
    Issue,
    State,
    Subscription,
)

TITLE: Final = "Zoom"
NEEDS: Final = ("account_id", "client_id", "client_secret")
PATH: Final = "/marketplace/app/event_subscription"
NAME: Final = "buildr-calls"
BY_API: Final = "openapi"
PER_PAGE: Final = "30"
# The records that tell how a call went, in their three versions: each needs both sides, outbound
# calls and inbound ones.
RECORDS: Final = tuple(
    frozenset({f"phone.caller_{name}_completed", f"phone.callee_{name}_completed"})
    for name in ("call_element", "call_history", "call_log")
)
EVENTS: Final = frozenset({*LIVE, *RECORDS[0], *VOICEMAILS, RECORDING})
HINTS: Final[Mapping[str, str]] = {
    "1001": (
        "Zoom does not take this app for a user of the account; make the subscription in the app, "
        "see docs/telephony/zoom.md"
    ),
    "1602": "add the scopes of the phone events to the app, see docs/telephony/zoom.md",
    "1701": (
        "the receiver at PUBLIC_URL did not answer Zoom's validation: is it reachable, and is "
        "ZOOM_SECRET_TOKEN the app's?"
    ),
}
UNSEEN: Final = "Zoom does not tell whether it is switched on"


class Zoom:
    """Zoom's API, logged in as a server-to-server app."""

    supported_fixes: Final[Mapping[Issue, Action]] = {
        Issue.MISSING: Action.CREATE,
        Issue.DUPLICATE: Action.REMOVE,
        Issue.ADDRESS: Action.REPLACE,
        Issue.EVENTS: Action.REPLACE,
    }
    by_hand: Final = (
        "set the address and the events in the Zoom app under Features, Access, Event Subscriptions"
    )

    def __init__(
        self, target: Target, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._target: Final = target
        cure = "check ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET"
        self._api: Final = Api(
            title=TITLE,
            url=target.api["api_url"],
            cure=cure,
            hints=HINTS,
            confidential=target.confidential,
            transport=transport,
        )

    async def list_subscriptions(self, now: datetime) -> list[Subscription]:
        """The event subscriptions of the app, those from its pages included."""
        await self._log_in()
        records = await every_page(TITLE, self._page)
        return [
            self._read(record)
            for record in records
            if has_id(
                TITLE,
                record,
                "event_subscription_id",
                is_ours=self._target.is_ours(text(record, "event_webhook_url")),
            )
        ]

    async def create(self, like: Subscription | None) -> str:
        """Make one for all users of the account; the events of the one that it replaces go on."""
        events = EVENTS
        if like is not None:
            events |= like.events
        body: dict[str, object] = {
            "event_subscription_name": NAME,
            "event_webhook_url": self._target.address,
            "events": sorted(events),
            "subscription_scope": "account",
            "account_id": self._target.api["account_id"],
        }
        await self._log_in()
        return id_of(TITLE, await self._api.send("POST", PATH, body), "event_subscription_id")

    async def update(self, subscription: Subscription) -> None:
        """Nothing: a subscription is replaced, not changed."""

    async def remove(self, subscription: Subscription) -> None:
        """Delete it."""
        await self._log_in()
        await self._api.delete(f"{PATH}/{subscription.subscription_id}")

    async def save_token(self, subscription: Subscription) -> None:
        """Nothing: the secret token is the app's, and no API shows it."""

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _log_in(self) -> None:
        if not self._api.headers:
            api = self._target.api
            form = {"grant_type": "account_credentials", "account_id": api["account_id"]}
            await self._api.log_in(
                api["token_url"], user=api["client_id"], password=api["client_secret"], form=form
            )

    async def _page(self, token: str) -> tuple[list[Fields], str]:
        params = {
            "account_id": self._target.api["account_id"],
            "user_id": "me",
            "page_size": PER_PAGE,
        }
        if token:
            params["next_page_token"] = token
        page = await self._api.get(PATH, **params)
        # An empty list is left out; `page_size` shows that the answer is a list all the same.
        records = objects(TITLE, page, "event_subscriptions", is_optional="page_size" in page)
        return records, text(page, "next_page_token")

    def _read(self, fields: Fields) -> Subscription:
        url = text(fields, "event_webhook_url")
        events = texts(fields, "events")
        is_ours = self._target.is_ours(url)
        issues: list[Issue] = []
        detail = UNSEEN
        if is_ours and not self._target.is_present(url):
            issues.append(Issue.ADDRESS)
        if is_ours and not any(pair <= events for pair in RECORDS):
            missing = RECORDS[0] - events
            issues.append(Issue.EVENTS)
            detail += f"; it lacks {', '.join(sorted(missing))}"
        return Subscription(
            subscription_id=text(fields, "event_subscription_id"),
            address=self._target.shown(url),
            state=State.UNKNOWN,
            is_ours=is_ours,
            detail=detail,
            has_calls=any(pair & events for pair in RECORDS),
            events=events,
            scope=text(fields, "subscription_scope"),
            issues=tuple(issues),
            is_fixed=text(fields, "created_source") != BY_API,
        )
