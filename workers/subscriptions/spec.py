"""
The vendors' table of contents: which settings a vendor's API needs, and how to connect to it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import httpx
from msgspec import Struct

from service.settings import Settings
from workers.subscriptions.errors import NotReady
from workers.subscriptions.target import Target, target_of
from workers.subscriptions.types import Vendor

# Writes down a secret that the vendor chose.
Save = Callable[[str], None]


class Connect(Protocol):
    """Opens a vendor's API for one reconciliation; no request is sent yet."""

    def __call__(
        self, target: Target, save: Save | None, transport: httpx.AsyncBaseTransport | None
    ) -> Vendor:
        """The vendor's API with the target's credentials; `save` is None where nobody can save."""


class VendorSpec(Struct, frozen=True, kw_only=True):
    """
    A vendor whose subscriptions can be reconciled.

    `needs` are the settings without which its API cannot be asked, without the source's prefix
    (`api_key`). Where `vendor_issues_secret`, the vendor chooses the secret, and there may be none
    yet.
    """

    slug: str
    needs: tuple[str, ...]
    connect: Connect
    vendor_issues_secret: bool = False

    def target(self, settings: Settings, secret_fingerprints: Mapping[str, str]) -> Target:
        """
        What the subscriptions should be; `secret_fingerprints` by subscription id, as they were
        stored. Raises `NotReady`.
        """
        return target_of(
            settings,
            self.slug,
            needs=self.needs,
            needs_secret=not self.vendor_issues_secret,
            secret_fingerprints=secret_fingerprints,
        )

    def settings_fingerprint(self, settings: Settings) -> str:
        """
        A digest that changes with any setting that the subscriptions depend on; empty while one is
        missing.
        """
        try:
            return self.target(settings, {}).settings
        except NotReady:
            return ""
