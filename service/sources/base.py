"""
What a source is, and the helpers that several of them share.

A source knows one telephony system: how it signs, what its words mean. It sees no web framework and no Redis, so that the same
code runs in the receiver, in the worker, on replay and in `explain`.
"""

import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

import phonenumbers

from service.errors import MalformedPayload, UnsupportedContentType, WrongMethod
from service.events import CallEvent, EventType
from service.secrets import Secrets, SourceSetting

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
BUILDR_CALL_ID: Final = "buildr_call_id"
MAX_ID_LENGTH: Final = 200
MAX_WORD_LENGTH: Final = 100
PUNCTUATION: Final = str.maketrans("", "", " ().-")
NORTH_AMERICAN: Final = re.compile(r"\+1[2-9][0-9]{9}", re.ASCII)
MOST_ID_DIGITS: Final = 20
MOST_SECONDS_DIGITS: Final = 9
E164_DIGITS: Final = range(8, 16)
UNPROVED: Final = f"{BUILDR_CALL_ID} in the address without a signature of ours: see buildr-calls link-url"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """
    One HTTP request of a source, as it came.

    `url` is the public URL that the sender used: `PUBLIC_URL`, then path and query exactly as received. Header names are lower
    case; a header that came more than once holds all its values, in order. `buildr_call_id` is the id in the URL that a signature of our
    own proves (see `service.addresses`), None without one.
    """

    method: str
    url: str
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: bytes = b""
    buildr_call_id: str | None = None

    def header(self, name: str) -> str | None:
        """The value of a header that may come once; None if it is absent or came more than once."""
        values = self.headers.get(name.lower(), ())
        return values[0] if len(values) == 1 else None

    @property
    def query(self) -> str:
        """The raw query string, never decoded and encoded again."""
        return self.url.partition("#")[0].partition("?")[2]

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
    """What a source's server is answered: status, body, content type, further headers."""

    status: int = 204
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """
    How a vendor waits for an answer, and when it comes again.

    `answer_within_s` is when it gives up waiting. `retries_s` are the seconds from each failed try to the next, for an answer of 503;
    empty where a message that was not taken is lost.
    """

    answer_within_s: float
    retries_s: tuple[float, ...] = ()


class Source(ABC):
    """
    One telephony system.

    `slug` names it in addresses, settings, logs and files; `title` is its name. `settings` are those it needs, first the one that turns it
    on. `content_types` are those in which it sends, empty for any. `kept_headers` (lower case) are stored with a message because parsing
    needs them. `proof` says in a few words what proves a message, `carries_id` how the Buildr call id travels, None where nothing is given
    back to us. `signs_url`: the proof covers the address. `has_address_per_call`: a call can be given an address of its own.
    `wants_path_token`: the proof is weak, so that the address holds a token too. `challenge` is what `WWW-Authenticate` says beside a 401,
    where the vendor waits for that. `settle_s` is how many seconds apart its last messages about a call come, where that is longer than
    what `SETTLE_S` gives all sources.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    settings: ClassVar[tuple[SourceSetting, ...]]
    patience: ClassVar[Patience]
    proof: ClassVar[str]
    carries_id: ClassVar[str | None] = None
    content_types: ClassVar[frozenset[str]] = frozenset({JSON})
    kept_headers: ClassVar[frozenset[str]] = frozenset({"content-type"})
    signs_url: ClassVar[bool] = False
    has_address_per_call: ClassVar[bool] = False
    wants_path_token: ClassVar[bool] = False
    challenge: ClassVar[str | None] = None
    settle_s: ClassVar[float] = 0

    def handshake(self, incoming: Incoming, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002 - most vendors have none
        """
        Answer the vendor's set-up challenge, or None if this is an ordinary message.

        Raises `InvalidSignature` where the vendor signs its challenge and this one is not proved.
        """
        return None

    @abstractmethod
    def verify(self, incoming: Incoming, secrets: Secrets, now: datetime) -> None:
        """Return if the message is genuine; raise `InvalidSignature` if that is not proved, `WrongMethod`, `UnsupportedContentType`."""

    def redact(self, incoming: Incoming) -> Incoming:
        """The message as it may be kept: a secret that lies in its body is taken out. Called for genuine messages only; never raises."""
        return incoming

    @abstractmethod
    def keys(self, incoming: Incoming) -> MessageKeys:
        """
        Name the message and its call, cheaply, from what is left after `redact`.

        Raises `IgnoredEvent` for a kind that is not wanted and `MalformedPayload` when no call can be named.
        """

    @abstractmethod
    def parse(self, incoming: Incoming, message_id: str) -> list[CallEvent]:
        """
        Turn a genuine message into events.

        A word that no table knows becomes an event of type `UNKNOWN`, so that it is reported and never guessed. Raises
        `IgnoredEvent` and `MalformedPayload`.
        """

    def read(self, incoming: Incoming, message_id: str) -> list[CallEvent]:
        """
        The events of a message, with the Buildr call id that our own signature in its address proves.

        An event that names another id keeps it, and the address's is told beside it: two are a conflict, which a person settles. Raises
        as `parse` does.
        """
        events = self.parse(incoming, message_id)
        if self.signs_url or not events:
            return events
        named = incoming.buildr_call_id
        if named is None:
            is_unproved = queried_buildr_call_id(incoming) != (None, None)
            return [*events, unknown_event(_bare(events[0]), UNPROVED)] if is_unproved else events
        told = [event if event.buildr_call_id is not None else replace(event, buildr_call_id=named) for event in events]
        is_agreed = all(event.buildr_call_id == named for event in told)
        return told if is_agreed else [*told, replace(_bare(events[0]), buildr_call_id=named, word=f"{BUILDR_CALL_ID} in the address")]

    def reply(self, incoming: Incoming) -> Reply:  # noqa: ARG002 - most vendors are answered the same to everything
        """What to answer once the message is safe; never raises."""
        return Reply(200)

    @abstractmethod
    def sign(self, incoming: Incoming, secrets: Secrets, now: datetime) -> Incoming:
        """
        The same request, signed as the vendor would; for `trigger`, which plays calls against one's own receiver.

        Raises ValueError that says which setting is missing.
        """

    def expect(self, incoming: Incoming) -> None:
        """Raises `WrongMethod` for anything but a POST, `UnsupportedContentType` for a type in which the source never sends."""
        if incoming.method != "POST":
            raise WrongMethod(f"{self.title} must be told to send its webhooks with POST")
        if self.content_types and incoming.content_type not in self.content_types:
            raise UnsupportedContentType(f"{self.title} sends {' or '.join(sorted(filter(None, self.content_types)))}")

    def no_secret(self) -> ValueError:
        """What `sign` raises without a secret."""
        return ValueError(f"there is no secret to sign with: set {self.settings[0].name.upper()}")


def _bare(event: CallEvent) -> CallEvent:
    """An event of the same leg that says nothing yet."""
    return CallEvent(
        source=event.source,
        message_id=event.message_id,
        source_call_id=event.source_call_id,
        leg_id=event.leg_id,
        event_type=EventType.UPDATED,
    )


def check_pair(text: str) -> str | None:
    """What is wrong with a setting that must be a pair of id and secret, or None."""
    return None if all(text.partition(":")[::2]) else "must be pairs of id and key, like webhooks_sharedkey_01:THEKEY"


def check_url(text: str) -> str | None:
    """What is wrong with a setting that must be a URL, or None."""
    try:
        parts = urlsplit(text)
        is_full = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_full = False
    if not is_full:
        return "must be a full URL, like https://calls.example.com"
    return "must be a URL without user, query and fragment" if parts.query or parts.fragment or parts.username else None


def unknown_event(event: CallEvent, word: str) -> CallEvent:
    """What a word that no table knows makes of a message: reported, and deciding nothing."""
    return replace(event, event_type=EventType.UNKNOWN, word=word[:MAX_WORD_LENGTH] or "(empty)")


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
    values = queried_values(incoming, name)
    if len(values) > 1:
        raise MalformedPayload(f"the query names {name} {len(values)} times with different values")
    return next(iter(values), None)


def queried_values(incoming: Incoming, name: str) -> frozenset[str]:
    """All values of a query parameter that are not empty."""
    query = incoming.query
    # Most addresses have no such parameter; a name may be written in another way, but not without these.
    if name not in query and "%" not in query and "+" not in query:
        return frozenset()
    return frozenset(value for key, value in parse_qsl(query, keep_blank_values=True) if key == name and value)


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
    # Most numbers are whole already, and reading one takes longer than all the rest of a message.
    if not text or ":" in text:
        return text or None
    if NORTH_AMERICAN.fullmatch(bare := text.translate(PUNCTUATION)):
        return bare
    try:
        parsed = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if phonenumbers.is_possible_number(parsed) else text


def bare_to_e164(address: str | None) -> str | None:
    """The same for a vendor that leaves out the plus: 8 to 15 digits that do not begin with 0 are a full telephone number."""
    text = (address or "").strip()
    is_bare = text.isascii() and text.isdigit() and len(text) in E164_DIGITS and not text.startswith("0")
    return to_e164(f"+{text}" if is_bare else text)
