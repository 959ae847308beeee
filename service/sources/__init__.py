"""
The registry: every source, on one screen.
"""

from typing import Final

from service.secrets import Secrets
from service.sources.base import Incoming, MessageKeys, Reply, Source
from service.sources.callrail import CallRail
from service.sources.plivo import Plivo
from service.sources.standard import Standard
from service.sources.twilio import Twilio

__all__ = ["SOURCES", "Incoming", "MessageKeys", "Reply", "Secrets", "Source"]

_ALL: Final[tuple[Source, ...]] = (
    Standard(),
    Twilio(),
    CallRail(),
    Plivo(),
)
SOURCES: Final[dict[str, Source]] = {source.slug: source for source in _ALL}
