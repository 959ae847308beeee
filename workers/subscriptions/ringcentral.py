"""
RingCentral: subscriptions that expire, and that are blacklisted after sustained errors.

API: https://developers.ringcentral.com/api-reference/Subscriptions/createSubscription, guide:
https://developers.ringcentral.com/guide/notifications/webhooks/creating-webhooks. Creating and
changing one makes RingCentral shake hands with the receiver at once. The verification
token that it was given it never shows again, so that a digest of ours is kept.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx

from workers.subscriptions.api import (
    Api,
    Fields,
    child,
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

TITLE: Final = "RingCentral"
NEEDS: Final = ("client_id", "client_secret", "jwt")
PATH: Final = "/restapi/v1.0/subscription"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
WEBHOOK: Final = "WebHook"
EVERY_CALL: Final = "/restapi/v1.0/account/~/telephony/sessions"
# As it is listed: with the account's id in place of `~`; of one extension, if somebody chose that.
CALLS: Final = re.compile(
    r"/restapi/v1\.0/account/[^/]+(?:/extension/[^/]+)?/telephony/sessions(?:\?.*)?"
)
# Up to ten years are allowed. One year: what nobody looks after any more ends some day.
LIFE: Final = timedelta(days=365)
# A third of a week, the life that RingCentral gives by itself: however short a life it grants, what
# is renewed is not due at once.
RENEW_WITHIN: Final = timedelta(days=7) / 3
# Such a subscription never comes back, and is made anew.
DEAD: Final = frozenset({"Blacklisted", "Suspended"})
_HANDSHAKE: Final = (
    "the receiver at PUBLIC_URL did not shake hands: is it reachable, and its whole answer below "
    "1024 bytes?"
)
HINTS: Final[Mapping[str, str]] = {
    **{f"SUB-{number}": _HANDSHAKE for number in range(521, 530)},
    "CMN-408": "give the app the permissions Webhook Subscriptions and Call Control",
}


class RingCentral:
    """RingCentral's API, logged in with a JWT."""

    supported_fixes: Final[Mapping[Issue, Action]] = {
        Issue.MISSING: Action.CREATE,
        Issue.DUPLICATE: Action.REMOVE,
        Issue.EXPIRED: Action.RECREATE,
        Issue.DISABLED: Action.RECREATE,
        Issue.EXPIRING: Action.RENEW,
        Issue.ADDRESS: Action.UPDATE,
        Issue.SIGNING_SECRET: Action.UPDATE,
    }
    by_hand: Final = "make the webhook subscription as docs/telephony/ringcentral.md shows"

    def __init__(
        self, target: Target, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._target: Final = target
        cure = "check RINGCENTRAL_CLIENT_ID, RINGCENTRAL_CLIENT_SECRET and RINGCENTRAL_JWT"
        self._api: Final = Api(
            title=TITLE,
            url=target.api["api_url"],
            cure=cure,
            hints=HINTS,
            confidential=target.confidential,
            transport=transport,
        )

    async def list_subscriptions(self, now: datetime) -> list[Subscription]:
        """The webhook subscriptions of this app and user; the list has no pages."""
        await self._log_in()
        records = [
            record
            for record in objects(TITLE, await self._api.get(PATH), "records")
            if _mode(record) == WEBHOOK
        ]
        return [
            self._read(record, now)
            for record in records
            if has_id(TITLE, record, "id", is_ours=self._target.is_ours(_address(record)))
        ]

    async def create(self, like: Subscription | None) -> str:
        """Make one for every call of the account, or with the filters of another."""
        events = [EVERY_CALL]
        if like is not None and like.events:
            events = sorted(like.events)
        await self._log_in()
        return id_of(TITLE, await self._api.send("POST", PATH, self._body(events)), "id")

    async def update(self, subscription: Subscription) -> None:
        """Write the whole of it anew, its own filters kept."""
        await self._log_in()
        await self._api.send(
            "PUT",
            f"{PATH}/{subscription.subscription_id}",
            self._body(sorted(subscription.events) or [EVERY_CALL]),
        )

    async def remove(self, subscription: Subscription) -> None:
        """Delete it."""
        await self._log_in()
        await self._api.delete(f"{PATH}/{subscription.subscription_id}")

    async def save_token(self, subscription: Subscription) -> None:
        """Nothing: the token is ours."""

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _log_in(self) -> None:
        # One login for the whole reconciliation, and not one for each request.
        if not self._api.headers:
            api = self._target.api
            form = {"grant_type": GRANT, "assertion": api["jwt"]}
            await self._api.log_in(
                f"{self._api.url}/restapi/oauth/token",
                user=api["client_id"],
                password=api["client_secret"],
                form=form,
            )

    def _body(self, events: list[str]) -> dict[str, object]:
        delivery = {
            "transportType": WEBHOOK,
            "address": self._target.address,
            "verificationToken": self._target.secret,
        }
        return {
            "eventFilters": events,
            "deliveryMode": delivery,
            "expiresIn": int(LIFE.total_seconds()),
        }

    def _read(self, fields: Fields, now: datetime) -> Subscription:
        subscription_id = text(fields, "id")
        url = _address(fields)
        expires_at = _moment(text(fields, "expirationTime"))
        is_ours = self._target.is_ours(url)
        state, detail = self._state(fields, expires_at, now)
        issues = {
            State.EXPIRED: [Issue.EXPIRED],
            State.DISABLED: [Issue.DISABLED],
            State.EXPIRING: [Issue.EXPIRING],
        }.get(state, [])
        if is_ours and not self._target.is_present(url):
            issues.append(Issue.ADDRESS)
        if is_ours and not self._target.has_current_secret(subscription_id):
            issues.append(Issue.SIGNING_SECRET)
        events = texts(fields, "eventFilters")
        return Subscription(
            subscription_id=subscription_id,
            address=self._target.shown(url),
            state=state,
            is_ours=is_ours,
            expires_at=expires_at,
            detail=detail,
            has_calls=any(CALLS.fullmatch(event) for event in events),
            events=events,
            issues=tuple(issues),
        )

    def _state(
        self, fields: Fields, expires_at: datetime | None, now: datetime
    ) -> tuple[State, str | None]:
        status = text(fields, "status")
        if expires_at is not None and expires_at <= now:
            return State.EXPIRED, None
        if status in DEAD:
            return State.DISABLED, self._target.safe(
                text(child(fields, "blacklistedData"), "reason")
            ) or status.lower()
        if status != "Active":
            return State.UNKNOWN, self._target.safe(f"RingCentral calls it {status}")
        if expires_at is not None and expires_at - now < RENEW_WITHIN:
            return State.EXPIRING, None
        return State.ACTIVE, None


def _mode(fields: Fields) -> str:
    return text(child(fields, "deliveryMode"), "transportType")


def _address(fields: Fields) -> str:
    return text(child(fields, "deliveryMode"), "address")


def _moment(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)
