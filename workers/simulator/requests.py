"""
Sending to one's own receiver what its signature says was sent to the public URL.
"""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from msgspec.structs import replace

from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.common.ids import BUILDR_CALL_ID
from service.webhook_urls import (
    SIGNATURE,
    id_signature,
    path_token_for,
    webhook_path,
)

WEBHOOKS: Final = "/webhooks/"

ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def local_url(settings: Settings) -> str:
    """Where the receiver listens, as seen from this machine."""
    host = ANY_ADDRESS.get(
        settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host
    )
    return f"http://{host}:{settings.port}"


def signed_url(settings: Settings) -> str:
    """
    What the URL of a request has to start with for its signature to be right: the public URL, else
    where it is sent to.
    """
    return settings.public_url or local_url(settings)


def local_path(settings: Settings, request: WebhookRequest) -> str:
    """
    Path and query of a request as the receiver gets it: a proxy takes the prefix of the public URL
    away.
    """
    parts = urlsplit(request.url)
    prefix = urlsplit(settings.public_url or "").path
    return parts.path.removeprefix(prefix) + (f"?{parts.query}" if parts.query else "")


def to_receiver(request: WebhookRequest, settings: Settings) -> WebhookRequest:
    """
    A request for a source at the address that it has here: with the account's name, with the path
    token where the source wants one, and with our signature beside a Buildr call id that would
    otherwise count for nothing.

    One that names an account or a token already, or a source that is not there, stays as it is.
    """
    base, marker, rest = request.url.partition(WEBHOOKS)
    slug, question, query = rest.partition("?")
    source = SOURCES.get(slug)
    if not marker or source is None:
        return request
    token = path_token_for(source, settings.url_secrets, account=settings.path_account)
    path = webhook_path(slug, account=settings.path_account, token=token)
    return replace(
        request,
        url=base
        + path
        + question
        + (query if source.signs_url else signed_query(slug, query, settings)),
    )


def signed_query(slug: str, query: str, settings: Settings) -> str:
    """
    A query with the signature of the Buildr call id in it; one without an id, or with a signature,
    as it is.
    """
    names = dict(parse_qsl(query))
    # A query that is signed already stays as it is: a test may send a wrong signature on purpose.
    if not settings.url_secrets or BUILDR_CALL_ID not in names or SIGNATURE in names:
        return query
    signature = id_signature(
        settings.url_secrets[0], slug, names[BUILDR_CALL_ID], account=settings.path_account
    )
    return f"{query}&{SIGNATURE}={signature}"


def headers_of(request: WebhookRequest) -> list[tuple[str, str]]:
    """The headers of a request, one pair for each value."""
    return [(name, value) for name, values in request.headers.items() for value in values]
