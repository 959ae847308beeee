"""
The registry: every source with its settings, on one screen.
"""

from collections.abc import Mapping
from typing import Final

from service.sources.base import RetryPolicy, Source
from service.sources.loading import LazySettings, LazySources, SourceEntry
from service.sources.request import MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting

__all__ = [
    "SETTINGS",
    "SETTING_NAMES",
    "SOURCES",
    "MessageKeys",
    "Reply",
    "RetryPolicy",
    "Secrets",
    "SettingKind",
    "Source",
    "SourceSetting",
    "WebhookRequest",
]

# In the order of the docs. `settings` are the names that a source"s own class declares.
_ENTRIES: Final[Mapping[str, SourceEntry]] = {
    "standard": SourceEntry("Standard", ("standard_secret",)),
    "twilio": SourceEntry(
        "Twilio",
        (
            "twilio_auth_token",
            "twilio_shared_keys",
            "twilio_account_sid",
            "twilio_api_key",
            "twilio_api_secret",
            "twilio_api_url",
        ),
    ),
    "callrail": SourceEntry("CallRail", ("callrail_signing_key",)),
    "plivo": SourceEntry(
        "Plivo", ("plivo_auth_token", "plivo_auth_id", "plivo_machine_detection", "plivo_api_url")
    ),
    "justcall": SourceEntry("JustCall", ("justcall_api_secret",)),
    "signalwire": SourceEntry("SignalWire", ("signalwire_signing_key",)),
    "aircall": SourceEntry(
        "Aircall", ("aircall_token", "aircall_api_id", "aircall_api_token", "aircall_api_url")
    ),
    "telnyx": SourceEntry("Telnyx", ("telnyx_public_key",)),
    "openphone": SourceEntry("OpenPhone", ("openphone_webhook_secret",)),
    "vonage": SourceEntry(
        "Vonage",
        ("vonage_signature_secret", "vonage_api_key", "vonage_api_secret", "vonage_api_url"),
    ),
    "bandwidth": SourceEntry("Bandwidth", ("bandwidth_credentials",)),
    "ringcentral": SourceEntry(
        "RingCentral",
        (
            "ringcentral_verification_token",
            "ringcentral_client_id",
            "ringcentral_client_secret",
            "ringcentral_jwt",
            "ringcentral_api_url",
        ),
    ),
    "zoom": SourceEntry(
        "Zoom",
        (
            "zoom_secret_token",
            "zoom_account_id",
            "zoom_client_id",
            "zoom_client_secret",
            "zoom_api_url",
            "zoom_token_url",
        ),
    ),
    "dialpad": SourceEntry(
        "Dialpad", ("dialpad_webhook_secret", "dialpad_api_key", "dialpad_api_url")
    ),
}
SOURCES: Final = LazySources(_ENTRIES)
# The names of the settings of each source, by its slug, without loading it.
SETTING_NAMES: Final = {slug: entry.settings for slug, entry in _ENTRIES.items()}
# Every setting of every source, by name.
SETTINGS: Final[Mapping[str, SourceSetting]] = LazySettings(_ENTRIES, SOURCES)
