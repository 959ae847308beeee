"""
One stored message, sent to the local receiver as its vendor would have sent it there.
"""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

import httpx
from msgspec import Struct
from msgspec.structs import replace

from service.errors import MalformedPayload
from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.common.ids import BUILDR_CALL_ID
from service.store.messages import Message
from service.webhook_urls import SIGNATURE
from workers.cli.receiver_answer import answer_text
from workers.simulator.requests import WEBHOOKS, headers_of, local_path, signed_url, to_receiver

# As long as the vendors wait that wait longest.
TIMEOUT_S: Final = 15.0
# A signature that fits nothing.
UNPROVED: Final = f"&{SIGNATURE}=unproved"


class NotForwarded(Exception):
    """Raised for a message that cannot be sent here; its text says why."""


class Answer(Struct, frozen=True, kw_only=True):
    """What the local receiver answered; `detail` is its reason, or `accepted`."""

    status_code: int
    detail: str

    @property
    def is_taken(self) -> bool:
        """Whether the message is stored here."""
        return httpx.codes.is_success(self.status_code)


class Forwarder(Struct, frozen=True):
    """Signs with the secrets of `settings`, and sends to the receiver at `target`."""

    client: httpx.AsyncClient
    settings: Settings
    target: str

    async def send(self, message: Message) -> Answer:
        """
        Send one message. Raises `NotForwarded`, and httpx's `TransportError` if nobody answers.
        """
        signed = signed_here(message, self.settings)
        answer = await self.client.request(
            signed.method,
            self.target + local_path(self.settings, signed),
            content=signed.body,
            headers=headers_of(signed),
        )
        return Answer(status_code=answer.status_code, detail=answer_text(answer))


def signed_here(message: Message, settings: Settings) -> WebhookRequest:
    """
    The request of a message, at the address that its source has here and signed with the secrets
    of here. Raises `NotForwarded`.
    """
    source = SOURCES.get(message.source)
    if source is None:
        raise NotForwarded(f"this version has no source named {message.source}")
    if message.request.call_log_read_at is not None:
        raise NotForwarded("it was read from the vendor's call log, and is no webhook")
    secrets = settings.secrets_of(message.source)
    if not secrets:
        raise NotForwarded(f"set {source.settings[0].name.upper()} here, to sign it with")
    request = replace(message.request, url=_url_here(message, settings))
    try:
        return source.sign(to_receiver(request, settings), secrets, datetime.now(UTC))
    except (ValueError, MalformedPayload) as err:
        raise NotForwarded(str(err)) from err


def _url_here(message: Message, settings: Settings) -> str:
    """The address of the source here, with the query of the message."""
    url = signed_url(settings) + WEBHOOKS + message.source
    query = message.request.query
    if not query:
        return url
    # An id that nobody proved there must not be proved here.
    is_proved = SOURCES[message.source].signs_url or message.request.buildr_call_id is not None
    if not is_proved and BUILDR_CALL_ID in dict(parse_qsl(query)):
        query += UNPROVED
    return f"{url}?{query}"
