"""
The registry: every source, on one screen.
"""

from collections.abc import Mapping
from typing import Final

from service.sources.aircall.source import Aircall
from service.sources.bandwidth.source import Bandwidth
from service.sources.base import RetryPolicy, Source
from service.sources.callrail.source import CallRail
from service.sources.dialpad.source import Dialpad
from service.sources.justcall.source import JustCall
from service.sources.openphone.source import OpenPhone
from service.sources.plivo.source import Plivo
from service.sources.request import MessageKeys, Reply, WebhookRequest
from service.sources.ringcentral.source import RingCentral
from service.sources.settings import Secrets, SettingKind, SourceSetting
from service.sources.signalwire.source import SignalWire
from service.sources.standard.source import Standard
from service.sources.telnyx.source import Telnyx
from service.sources.twilio.source import Twilio
from service.sources.vonage.source import Vonage
from service.sources.zoom.source import Zoom

__all__ = [
    "SETTINGS",
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

_ALL: Final[tuple[Source, ...]] = (
    Standard(),
    Twilio(),
    CallRail(),
    Plivo(),
    JustCall(),
    SignalWire(),
    Aircall(),
    Telnyx(),
    OpenPhone(),
    Vonage(),
    Bandwidth(),
    RingCentral(),
    Zoom(),
    Dialpad(),
)
SOURCES: Final[dict[str, Source]] = {source.slug: source for source in _ALL}
# Every setting of every source, by name.
SETTINGS: Final[Mapping[str, SourceSetting]] = {
    setting.name: setting for source in _ALL for setting in source.settings
}
