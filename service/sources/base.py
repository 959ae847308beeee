"""
What a source is, and the helpers that several of them share.

A source knows one telephony system: how it signs and what its vocabulary means. It imports no web
framework and no Redis, so that the same code runs in the receiver, in the worker, on replay and in
`explain`.

`verify`, `redact`, `keys`, `reply` and `parse` of one message read its body only with
`request.body_as(...)`, and its query with `query_pairs` or `query_value`, so that each is parsed
once.
"""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from service.events import CallEvent, EventType
from service.sources.common.ids import BUILDR_CALL_ID, queried_buildr_call_id
from service.sources.request import JSON, OK, MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SourceSetting

MAX_WORD_LENGTH: Final = 100
KIB: Final = 1024
UNPROVED: Final = (
    f"{BUILDR_CALL_ID} in the address without a signature of ours: see buildr-calls link-url"
)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """
    How long a vendor waits for an answer, and when it retries.

    `response_timeout_s` is the seconds until it stops waiting. `retry_delays_s` are the seconds
    from each failed attempt to the next, for an answer of 503; empty where the vendor does not
    retry, so that a message that was not stored is lost.
    """

    response_timeout_s: float
    retry_delays_s: tuple[float, ...] = ()


class Source(ABC):
    """
    One telephony system.

    `slug` names it in URLs, settings, logs and files; `title` is its name. `settings` are those it
    needs, first the one that turns it on. `content_types` are those in which it sends, empty for
    any. `kept_headers` (lower case) are stored with a message because parsing needs them. `proof`
    describes in a few words what proves a message, `call_id_carrier` where the Buildr call id
    comes back, None where it does not. `signs_url`: the proof covers the URL.
    `has_address_per_call`: a call can have a URL of its own. `requires_path_token`: the proof is
    weak, so that the URL holds a token too. `challenge` is the value of `WWW-Authenticate` in a
    401, where the vendor waits for that. `settle_s` is how many seconds apart the last messages
    about a call may arrive, where that is longer than `SETTLE_S`, which holds for all sources.
    `has_moving_legs`: the later events of a leg can come under the id of another call.
    `max_body_bytes` is the largest body that is read of an unproved request, well above the largest
    message that the vendor sends.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    settings: ClassVar[tuple[SourceSetting, ...]]
    retry_policy: ClassVar[RetryPolicy]
    proof: ClassVar[str]
    call_id_carrier: ClassVar[str | None] = None
    content_types: ClassVar[frozenset[str]] = frozenset({JSON})
    kept_headers: ClassVar[frozenset[str]] = frozenset({"content-type"})
    signs_url: ClassVar[bool] = False
    has_address_per_call: ClassVar[bool] = False
    requires_path_token: ClassVar[bool] = False
    challenge: ClassVar[str | None] = None
    settle_s: ClassVar[float] = 0
    has_moving_legs: ClassVar[bool] = False
    max_body_bytes: ClassVar[int] = 64 * KIB

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """
        Raises `InvalidSignature` for a request whose headers alone show that it is not genuine;
        called before its body is read, so cheap, and no proof by itself.
        """
        return

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """
        Answer the vendor's set-up challenge, or None if this is an ordinary message.

        Raises `InvalidSignature` where the vendor signs its challenge and this one is not proved.
        """
        return None

    @abstractmethod
    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the message is genuine; raises `InvalidSignature` if that is not proved.

        The receiver has checked before that it is a POST, and its content type one of
        `content_types`. `now` is the time in UTC, for sources that sign one.
        """

    def redact(self, request: WebhookRequest) -> WebhookRequest:
        """
        The message as it may be stored: without a secret in its body; the same object where there
        is none. Called for genuine messages only; never raises.
        """
        return request

    @abstractmethod
    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        The key of the message and the id of its call, cheaply, from what is left after `redact`.

        Raises `IgnoredEvent` for a message that is not of use, and `MalformedPayload` when it
        holds no id of a call.
        """

    @abstractmethod
    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The events of a genuine message, in the order in which they happened.

        A value that is in no table becomes an event of type `UNKNOWN`, so that it is reported and
        never guessed. Raises `IgnoredEvent` and `MalformedPayload`.
        """

    def read(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The events of a message, with the Buildr call id that our own signature in its URL proves.

        An event that holds another id keeps it, and one more event holds the URL's: two ids are a
        conflict, which an operator resolves. Events of a record of the vendor's call log are
        marked. Raises as `parse` does.
        """
        events = self.parse(request, message_id)
        if request.call_log_read_at is not None:
            return [replace(event, is_logged=True) for event in events]
        if self.signs_url or not events:
            return events
        if request.buildr_call_id is None:
            if "?" not in request.url or queried_buildr_call_id(request) == (None, None):
                return events
            return [*events, unknown_event(_empty_event(events[0]), UNPROVED)]
        return _with_buildr_call_id(events, request.buildr_call_id)

    def reply(self, request: WebhookRequest) -> Reply:
        """The answer once the message is stored; never raises."""
        return OK

    @abstractmethod
    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed as the vendor would; for `trigger`, which sends simulated calls to
        one's own receiver.

        Raises ValueError that names the missing setting.
        """

    def no_secret(self) -> ValueError:
        """What `sign` raises without a secret."""
        return ValueError(f"there is no secret to sign with: set {self.settings[0].name.upper()}")


def unknown_event(event: CallEvent, value: str) -> CallEvent:
    """The event for a value that is in no table: it is reported, and decides nothing."""
    return replace(
        event, event_type=EventType.UNKNOWN, vendor_status=value[:MAX_WORD_LENGTH] or "(empty)"
    )


def _with_buildr_call_id(events: list[CallEvent], buildr_call_id: str) -> list[CallEvent]:
    linked_events = [
        replace(event, buildr_call_id=event.buildr_call_id or buildr_call_id) for event in events
    ]
    if all(event.buildr_call_id == buildr_call_id for event in linked_events):
        return linked_events
    url_event = replace(
        _empty_event(events[0]),
        buildr_call_id=buildr_call_id,
        vendor_status=f"{BUILDR_CALL_ID} in the address",
    )
    return [*linked_events, url_event]


def _empty_event(event: CallEvent) -> CallEvent:
    """An event of the same leg that reports nothing yet."""
    return CallEvent(
        source=event.source,
        message_id=event.message_id,
        source_call_id=event.source_call_id,
        leg_id=event.leg_id,
        event_type=EventType.UPDATED,
    )
