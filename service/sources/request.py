"""
One webhook request as a source sees it, the keys that name it, and the reply to it.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeVar, cast

from msgspec import Struct, field

from service.errors import MalformedPayload

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
# Marks a request that was made from a record of the vendor's call log; its value is when that was
# read (ISO 8601, UTC). No sender can set it: of a webhook's headers only few are stored.
CALL_LOG: Final = "x-buildr-calls-call-log"


# In the keys of what was parsed: no body is a text that is not encoded.
HEADERS: Final = "headers"
NOTHING_READ: Final = (None, None)

S = TypeVar("S")
T = TypeVar("T")
Headers = Mapping[str, tuple[str, ...]]


class WebhookRequest(Struct, frozen=True, kw_only=True):
    """
    One HTTP request of a source, as it was received.

    `url` is the public URL that the sender used: `PUBLIC_URL`, then path and query exactly as
    received. Header names are lower case; a header that came more than once holds all its values,
    in order. `buildr_call_id` is the id in the URL that a signature of our own proves (see
    `service.webhook_urls`), None without one.
    """

    method: str
    url: str
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    buildr_call_id: str | None = None
    _parsed: dict[tuple[object, bytes | str], object] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        # What was parsed of a request already is no part of it.
        return isinstance(other, WebhookRequest) and _as_received(self) == _as_received(other)

    def __hash__(self) -> int:
        return hash((self.method, self.url, self.body))

    def body_as(self, parse: Callable[[bytes], T]) -> T:
        """
        The body as `parse` returns it; each function is called once per body, so that proof, keys,
        reply and events share one parsed form, also in copies made with `msgspec.structs.replace`.

        `parse` must be a module-level function; do not change the returned value. Raises what
        `parse` raises.
        """
        key = (parse, self.body)
        if key not in self._parsed:
            self._parsed[key] = _result_of(parse, self.body)
        parsed = self._parsed[key]
        # A body that cannot be read must not be parsed at each attempt. A new error each time: the
        # traceback of a kept one would hold the request in a cycle.
        if isinstance(parsed, _Unreadable):
            raise MalformedPayload(parsed.reason)
        return cast("T", parsed)

    def body_via(self, parse: Callable[[bytes], S], derive: Callable[[S], T]) -> T:
        """
        What `derive` makes of the body as `parse` returns it, called once per body; otherwise as
        `body_as`.
        """
        key = (derive, self.body)
        if key not in self._parsed:
            self._parsed[key] = derive(self.body_as(parse))
        return cast("T", self._parsed[key])

    def remember(self, parse: Callable[[bytes], T], parsed: T) -> None:
        """Keep what `parse` would return for the body, where the proof has read it already."""
        self._parsed[(parse, self.body)] = parsed

    def with_body(self, body: bytes, *, parse: Callable[[bytes], T], parsed: T) -> "WebhookRequest":
        """The same request with another body, which `parse` would return as `parsed`."""
        self._parsed[(parse, body)] = parsed
        return self._with(self.url, self.headers, body, self.buildr_call_id)

    def with_parts(
        self, *, url: str, headers: Headers, buildr_call_id: str | None
    ) -> "WebhookRequest":
        """The same body in another frame; it is not parsed again."""
        return self._with(url, headers, self.body, buildr_call_id)

    def _with(
        self, url: str, headers: Headers, body: bytes, buildr_call_id: str | None
    ) -> "WebhookRequest":
        # Not `msgspec.structs.replace`, which takes longer than all else that is done with it.
        return WebhookRequest(
            method=self.method,
            url=url,
            headers=headers,
            body=body,
            buildr_call_id=buildr_call_id,
            _parsed=self._parsed,
        )

    def headers_as(self, read: Callable[["WebhookRequest"], T]) -> T:
        """
        What `read` makes of the headers, called once for them: they are looked at before the body
        is read, and once more with it. Raises what `read` raises.
        """
        key = (read, HEADERS)
        # A copy with other headers shares what was parsed, and must not be proved by these.
        headers, value = cast("tuple[Headers | None, T]", self._parsed.get(key, NOTHING_READ))
        if headers is not self.headers:
            value = read(self)
            self._parsed[key] = (self.headers, value)
        return value

    def query_as(self, parse: Callable[[str], T]) -> T:
        """The raw query as `parse` returns it, called once per query; as `body_as` otherwise."""
        key = (parse, self.query)
        if key not in self._parsed:
            self._parsed[key] = parse(self.query)
        return cast("T", self._parsed[key])

    def header(self, name: str) -> str | None:
        """The value of a header that may occur once; None if it is absent or repeated."""
        values = self.headers.get(name.lower(), ())
        if len(values) != 1:
            return None
        return values[0]

    @property
    def call_log_read_at(self) -> str | None:
        """
        When the record of the vendor's call log was read from which this request was made (ISO
        8601, UTC); None for a webhook.
        """
        return self.header(CALL_LOG)

    @property
    def query(self) -> str:
        """The raw query string, never decoded and encoded again."""
        return self.url.partition("#")[0].partition("?")[2]

    @property
    def content_type(self) -> str:
        """The media type in lower case without parameters, or an empty string."""
        values = self.headers.get("content-type", ())
        if len(values) != 1:
            return ""
        return _media_type(values[0])


_as_received = attrgetter("method", "url", "headers", "body", "buildr_call_id")


# Senders send few different ones. Bounded, and short ones only, since anybody may send others.
@lru_cache(maxsize=64)
def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


class MessageKeys(Struct, frozen=True):
    """
    What the receiver needs of a message: `message_key` is the same in every retry of it, and
    `source_call_id` is the source's id of its call.
    """

    message_key: str
    source_call_id: str


class Reply(Struct, frozen=True):
    """The answer to a source's server: status, body, content type, further headers."""

    status: int = 204
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


OK: Final = Reply(200)
NO_CONTENT: Final = Reply(204)
# To the question what shall become of a live call: nothing more than is done with it.
EMPTY_DOCUMENT: Final = Reply(200, b'<?xml version="1.0" encoding="UTF-8"?><Response/>', "text/xml")


class _Unreadable(Struct, frozen=True):
    """What became of a body that could not be read."""

    reason: str


def _result_of(parse: Callable[[bytes], T], body: bytes) -> T | _Unreadable:
    try:
        return parse(body)
    except MalformedPayload as err:
        return _Unreadable(str(err))
