"""
The registry: every source, on one screen.
"""

from collections.abc import Mapping
from typing import Final

from service.secrets import Secrets, SourceSetting, Use
from service.sources.aircall import Aircall
from service.sources.base import Incoming, MessageKeys, Patience, Reply, Source
from service.sources.callrail import CallRail
from service.sources.dialpad import Dialpad
from service.sources.plivo import Plivo
from service.sources.ringcentral import RingCentral
from service.sources.standard import Standard
from service.sources.twilio import Twilio
from service.sources.zoom import Zoom

__all__ = ["SETTINGS", "SOURCES", "Incoming", "MessageKeys", "Patience", "Reply", "Secrets", "Source", "SourceSetting", "Use"]

_ALL: Final[tuple[Source, ...]] = (
    Standard(),
    Twilio(),
    CallRail(),
    Plivo(),
    Aircall(),
    RingCentral(),
    Zoom(),
    Dialpad(),
)
SOURCES: Final[dict[str, Source]] = {source.slug: source for source in _ALL}
# Every setting of every source, by name.
SETTINGS: Final[Mapping[str, SourceSetting]] = {setting.name: setting for source in _ALL for setting in source.settings}
