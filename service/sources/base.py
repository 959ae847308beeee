"""
What a source is, and the helpers that several of them share.

A source knows one telephony system: how it signs, what its words mean. It sees no web framework and no Redis, so that the same
code runs in the receiver, in the worker, on replay and in `explain`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlsplit

import phonenumbers

from service.errors import MalformedPayload
from service.events import CallEvent
from service.secrets import Secrets

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
BUILDR_CALL_ID: Final = "buildr_call_id"
MAX_ID_LENGTH: Final = 200
MOST_ID_DIGITS: Final = 20
MOST_SECONDS_DIGITS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """
    One HTTP request of a source, as it came.

    `url` is the public URL that the sender used: `PUBLIC_URL`, then path and query exactly as received. Header names are lower
    case; a header that came more than once holds all its values, in order.
    """

    method: str
    url: str
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of a header that may come once; None if it is absent or came more than once."""
        values = self.headers.get(name.lower(), ())
        return values[0] if len(values) == 1 else None

    @property
    def query(self) -> str:
        """The raw query string, never decoded and encoded again."""
        return urlsplit(self.url).query

    @property
    def content_type(self) -> str:
        """The media type in lower case without parameters, or an empty string."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class MessageKeys:
    """What the receiver has to know of a message: `message_key` names it for ever, `source_call_id` the call that it is about."""

    message_key: str
    source_call_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a source's server is answered: status, body, content type."""

    status: int = 204
    body: bytes = b""
    content_type: str | None = None


class Source(Protocol):
    """
    One telephony system.

    `kept_headers` are the headers (lower case) that are stored with the message because parsing needs them.
    """

    slug: str
    title: str
    content_types: frozenset[str]
    kept_headers: frozenset[str]

    def handshake(self, incoming: Incoming, secrets: Secrets) -> Reply | None:
        """Answer the vendor's set-up challenge, or None if this is an ordinary message."""

    def verify(self, incoming: Incoming, secrets: Secrets, now: datetime) -> None:
        """Return if the message is genuine; raise `InvalidSignature` if that is not proved."""

    def keys(self, incoming: Incoming) -> MessageKeys:
        """
        Name the message and its call, cheaply.

        Raises `IgnoredEvent` for a kind that is not wanted and `MalformedPayload` when no call can be named.
        """

    def parse(self, incoming: Incoming, message_id: str) -> list[CallEvent]:
        """
        Turn a genuine message into events.

        A word that no table knows becomes an event of type `UNKNOWN`, so that it is reported and never guessed. Raises
        `IgnoredEvent` and `MalformedPayload`.
        """

    def reply(self, incoming: Incoming) -> Reply:
        """What to answer once the message is safe."""

    def sign(self, incoming: Incoming, secrets: Secrets, now: datetime) -> Incoming:
        """The same request, signed as the vendor would; for `trigger`, which plays calls against one's own receiver."""


def is_hmac(key: bytes, message: bytes, signature: bytes, *, algorithm: str) -> bool:
    """Whether `signature` (raw bytes) is the HMAC of the message; takes the same time whatever differs."""
    return hmac.compare_digest(hmac.new(key, message, algorithm).digest(), signature)


def digest(*parts: str | bytes) -> str:
    """A short name for the parts; each part's length counts, so that moving a byte from one to the next changes it."""
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()[:32]


def read_form(body: bytes) -> list[tuple[str, str]]:
    """
    Read a form, blank values and repeated names kept, in order.

    Raises `MalformedPayload` if it is not UTF-8 or has absurdly many fields.
    """
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=1000)
    except ValueError as err:
        raise MalformedPayload("the form cannot be decoded") from err


def query_value(incoming: Incoming, name: str) -> str | None:
    """The one value of a query parameter; None if absent or empty. Raises `MalformedPayload` if it comes with two values."""
    values = {value for key, value in parse_qsl(incoming.query, keep_blank_values=True) if key == name and value}
    if len(values) > 1:
        raise MalformedPayload(f"the query names {name} {len(values)} times with different values")
    return next(iter(values), None)


def buildr_call_id(value: str | None) -> str | None:
    """Check a Buildr call id: digits only. Raises `MalformedPayload` for anything else; None and empty stay None."""
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= MOST_ID_DIGITS):
        raise MalformedPayload("buildr_call_id must be a string of at most 20 digits, as in Buildr's own URL of the call")
    return value


def queried_buildr_call_id(incoming: Incoming) -> tuple[str | None, str | None]:
    """
    The Buildr call id that a signed URL names, or None, and what is wrong with it, if anything is.

    A wrong id must not cost the event: the call then waits for a link, and the fault is reported.
    """
    try:
        return buildr_call_id(query_value(incoming, BUILDR_CALL_ID)), None
    except MalformedPayload as err:
        return None, str(err)


def call_id(value: str | None, *, name: str) -> str:
    """Check a source's id of a call: present, printable, at most 200 characters. Raises `MalformedPayload`."""
    if not value or len(value) > MAX_ID_LENGTH or not value.isprintable():
        raise MalformedPayload(f"{name} is missing, or not a printable text of at most {MAX_ID_LENGTH} characters")
    return value


def seconds(value: str | None) -> int | None:
    """Whole seconds from a vendor's text; None if it is absent or no number of seconds."""
    if value is None or not (value.isascii() and value.isdigit() and len(value) <= MOST_SECONDS_DIGITS):
        return None
    return int(value)


def to_e164(address: str | None) -> str | None:
    """
    The address in E.164 where it is a full telephone number; any other address as it came; None if empty.

    What has a scheme (`client:+1500...`, `sip:...`) is a name, whatever digits it is made of.
    """
    text = (address or "").strip()
    if not text or ":" in text:
        return text or None
    try:
        parsed = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if phonenumbers.is_possible_number(parsed) else text
