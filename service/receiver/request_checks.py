"""
Checks of a request that need no secret of the source: path token, method, content type and
encoding.

Sources do not repeat them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from service.errors import UnknownSource, UnsupportedContentType, WrongMethod
from service.receiver.requests import BodyLimits
from service.sources.base import Source
from service.sources.request import WebhookRequest
from service.webhook_urls import is_path_token

METHOD: Final = "POST"
# The header is the sender's text, and may hold anything: others are not named in the log.
NAMED_TYPES: Final = frozenset(
    {
        "",
        "application/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/xml",
        "multipart/form-data",
        "text/html",
        "text/plain",
        "text/xml",
    }
)
NAMED_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"})
# A body is never unpacked here: a small one could grow without a limit while it is.
PLAIN_ENCODINGS: Final = frozenset({"", "identity"})


def check_path_token(
    source: Source, url_secrets: Sequence[str], token: str | None, *, account: str | None
) -> None:
    """
    Raises `UnknownSource` unless the path holds the source's token; a source that needs none may be
    sent to without one, but not with a wrong one.
    """
    if token is None:
        if source.requires_path_token:
            # Answered exactly as a source that does not exist: an address without its token tells
            # nothing.
            raise UnknownSource("the address lacks its token: see buildr-calls link-url")
    elif not is_path_token(url_secrets, source.slug, token, account=account):
        raise UnknownSource(
            "the token in the address is not the source's: see buildr-calls link-url"
        )


def check_method(method: str) -> None:
    """Raises `WrongMethod` for anything but a POST: every source sends its webhooks so."""
    if method == METHOD:
        return
    if method not in NAMED_METHODS:
        method = "another method"
    raise WrongMethod(f"{method} instead of {METHOD}")


def limits_of(source: Source, limits: BodyLimits) -> BodyLimits:
    """The limits of a source's bodies: its own size where that is smaller."""
    if limits.max_bytes <= source.max_body_bytes:
        return limits
    return BodyLimits(max_bytes=source.max_body_bytes, timeout_s=limits.timeout_s)


def check_content(source: Source, request: WebhookRequest) -> None:
    """
    Raises `UnsupportedContentType` for an encoded body, or a type in which the source never sends.
    """
    if "content-encoding" in request.headers and not (
        _encodings(request.headers) <= PLAIN_ENCODINGS
    ):
        raise UnsupportedContentType("the body has a Content-Encoding")
    # Before the body is read and verified: another type would be parsed by rules that do not fit.
    content_type = request.content_type
    if source.content_types and content_type not in source.content_types:
        name = "of another kind"
        if content_type in NAMED_TYPES:
            name = content_type or "missing"
        raise UnsupportedContentType(f"content type {name}")


def _encodings(headers: Mapping[str, tuple[str, ...]]) -> set[str]:
    values = headers.get("content-encoding", ())
    return {part.strip().lower() for value in values for part in value.split(",")}
