"""
The values of the vocabularies of the source `standard`; `docs/telephony/standard.md` describes
them.
"""

from collections.abc import Collection, Mapping
from typing import Final

from service.events import STATED_RESULTS, AnsweredBy, EventType, HangupCause

# `type`.
EVENT_TYPES: Final[Mapping[str, EventType]] = {
    "call.created": EventType.CREATED,
    "call.ringing": EventType.RINGING,
    "call.answered": EventType.ANSWERED,
    "call.ended": EventType.ENDED,
    "call.answered_by": EventType.ANSWERED_BY,
    "call.recording": EventType.RECORDING,
    "call.voicemail": EventType.VOICEMAIL,
    "call.updated": EventType.UPDATED,
}
# The fields of which a type needs any one.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "call.ended": ("hangup_cause", "result"),
    "call.answered_by": ("answered_by",),
    "call.recording": ("recording",),
    "call.voicemail": ("voicemail",),
}
# The values of each field; any other is reported as unknown.
KNOWN_VALUES: Final[Mapping[str, Collection[str]]] = {
    "type": frozenset(EVENT_TYPES),
    "answered_by": frozenset(AnsweredBy),
    "hangup_cause": frozenset(HangupCause),
    "result": STATED_RESULTS,
}
