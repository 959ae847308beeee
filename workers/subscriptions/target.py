"""
What a source's subscriptions should be: the address, the secret, and the credentials by which the
vendor is asked.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from service.settings import Settings
from service.sources import SOURCES
from service.webhook_urls import path_tokens, strip_credentials, webhook_path
from workers.subscriptions.errors import NotReady

HIDDEN: Final = "[hidden]"
MOST_DETAIL: Final = 120
DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    What the subscriptions of one source of one account should be.

    `address` is the present one, `older` those that lead here too: with the token of another
    `URL_SECRET`, or without one. `secret_fingerprints` are digests of the secret that each
    subscription was last given, by subscription id.
    """

    slug: str
    address: str = field(repr=False)
    older: tuple[str, ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    api: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_fingerprints: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def secret(self) -> str:
        """The newest secret. Raises `NotReady` if there is none."""
        if not self.secrets:
            raise NotReady("there is no secret to give to the vendor")
        return self.secrets[0]

    @property
    def settings(self) -> str:
        """A name for all of this, which changes when any of it does."""
        parts = (
            self.address,
            *self.older,
            *self.secrets,
            *(f"{name}={value}" for name, value in sorted(self.api.items())),
        )
        # It is stored: only a digest, since the parts are secrets.
        return sha256("\n".join(parts).encode()).hexdigest()[:16]

    def is_ours(self, url: str) -> bool:
        """Whether an address leads here; its query does not count."""
        return _bare(url) in {_bare(item) for item in (self.address, *self.older)}

    def is_present(self, url: str) -> bool:
        """Whether an address is the present one; its query does not count."""
        return _bare(url) == _bare(self.address)

    def shown(self, url: str) -> str:
        """
        An address as it may be shown and logged: ours without token and query, of others only the
        host, since a path can be a secret.
        """
        if self.is_ours(url):
            return strip_credentials(_bare(url))
        try:
            return urlsplit(url).hostname or "(no address)"
        except ValueError:
            return "(no address)"

    def fingerprint(self, subscription_id: str) -> str:
        """A digest of the newest secret, for this subscription only: 16 hex digits, stored."""
        # With the id in it: equal secrets of two subscriptions must not have equal digests.
        return hmac.new(
            self.secret.encode(), f"given:{self.slug}:{subscription_id}".encode(), "sha256"
        ).hexdigest()[:16]

    def has_current_secret(self, subscription_id: str) -> bool:
        """Whether a subscription was given the newest secret by us."""
        return self.secret_fingerprints.get(subscription_id) == self.fingerprint(subscription_id)

    def safe(self, text: object) -> str | None:
        """
        A vendor's text as it may be shown: in one line, short, without anything secret; None if it
        is no text.
        """
        if not isinstance(text, str) or not text.strip():
            return None
        # The longest first: one secret may be a part of another, whose rest would stay readable.
        for secret in sorted(self.confidential, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        unprintable = {character for character in text if not character.isprintable()}
        for character in unprintable:
            text = text.replace(character, " ")
        return " ".join(text.split())[:MOST_DETAIL]

    @property
    def confidential(self) -> frozenset[str]:
        """What must never be shown."""
        tokens = {
            path.rpartition("/t/")[2] for path in (self.address, *self.older) if "/t/" in path
        }
        return frozenset(item for item in (*tokens, *self.secrets, *self.api.values()) if item)


def target_of(
    settings: Settings,
    slug: str,
    *,
    needs: Sequence[str],
    needs_secret: bool,
    secret_fingerprints: Mapping[str, str],
) -> Target:
    """
    What the subscriptions of a source should be. Raises `NotReady` that names the setting that is
    missing.
    """
    _check_settings(settings, slug, needs=needs, needs_secret=needs_secret)
    source = SOURCES[slug]
    account = settings.path_account
    tokens = path_tokens(settings.url_secrets, slug, account=account)
    if source.requires_path_token and not tokens:
        raise NotReady("set URL_SECRET: the address must hold a token")
    bare = settings.base_url + webhook_path(slug, account=account)
    tokened = [
        settings.base_url + webhook_path(slug, account=account, token=token) for token in tokens
    ]
    # All of them lead here, so that one that is registered with an older token is changed and not
    # left beside a new one.
    addresses = [bare, *tokened]
    if source.requires_path_token:
        addresses = [*tokened, bare]
    return Target(
        slug=slug,
        address=addresses[0],
        older=tuple(addresses[1:]),
        secrets=settings.secrets_of(slug).values,
        api=settings.api_of(slug),
        secret_fingerprints=secret_fingerprints,
    )


def _check_settings(
    settings: Settings, slug: str, *, needs: Sequence[str], needs_secret: bool
) -> None:
    """Raises `NotReady` unless the credentials, the secret and an https address are set."""
    if slug not in SOURCES:
        raise NotReady(f"there is no source {slug}")
    api = settings.api_of(slug)
    missing = [f"{slug}_{name}".upper() for name in needs if not api.get(name)]
    if needs_secret and not settings.secrets_of(slug):
        missing.insert(0, SOURCES[slug].settings[0].name.upper())
    if missing:
        raise NotReady(f"set {' and '.join(missing)}")
    if settings.public_url is None or urlsplit(settings.public_url).scheme != "https":
        raise NotReady(
            "set PUBLIC_URL to the https address of the receiver: the vendor sends there"
        )


def is_set_up(settings: Settings, slug: str, *, needs: Sequence[str]) -> bool:
    """
    Whether a source's subscriptions are to be reconciled: any setting of its API
    without a default is set.
    """
    return slug in SOURCES and any(settings.api_of(slug).get(name) for name in needs)


def _bare(url: str) -> str:
    """An address in one spelling, without query and fragment; unreadable ones as they came."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.lower())
    except ValueError:
        return url
    host = (parts.hostname or "").lower()
    if port != DEFAULT_PORTS.get(parts.scheme.lower()):
        host += f":{port}"
    return f"{parts.scheme.lower()}://{host}{parts.path}"
