"""
The form of a TeXML callback: its fields, the ids in it and its times.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from service.errors import IgnoredEvent
from service.sources.common.fields import iso_moment, mail_moment
from service.sources.common.forms import read_form
from service.sources.common.ids import call_id
from service.sources.telnyx.vocabulary import TEXML_MEMBER_EVENTS, UNWANTED_RECORDINGS

# The form of a callback: see `payload.TexmlCallback`.
Form = Mapping[str, str]
CALL_STATUS: Final = "CallStatus"
RECORDING_STATUS: Final = "RecordingStatus"
CONFERENCE_EVENT: Final = "StatusCallbackEvent"
CONFERENCE_ID: Final = "ConferenceSid"
COST: Final = "call-cost-events"
# A conference whose name is a `CallSid` was made for that call.
CALL_SID: Final = re.compile(r"v[0-9]:[A-Za-z0-9_-]+", re.ASCII)


def read_callback(body: bytes) -> Form:
    """
    The fields that are not empty, of a repeated name the first.

    Raises `IgnoredEvent` for a callback that is not wanted, `MalformedPayload` for no form.
    """
    form: dict[str, str] = {}
    for name, value in read_form(body):
        if value:
            form.setdefault(name, value)
    if form.get("CallbackSource") == COST or form.get(RECORDING_STATUS) in UNWANTED_RECORDINGS:
        raise IgnoredEvent("what a call cost, or a recording that is not ready or was not made")
    if CONFERENCE_ID in form and CALL_STATUS not in form and not is_member_event(form):
        raise IgnoredEvent("a conference that began or ended, or somebody in it who speaks")
    return form


def is_member_event(form: Form) -> bool:
    """Whether the callback is about a call that came into a conference or left it."""
    return form.get(CONFERENCE_EVENT) in TEXML_MEMBER_EVENTS and CONFERENCE_ID in form


def leg_id(form: Form) -> str:
    """The id of the leg; raises `MalformedPayload` without one."""
    return call_id(form.get("CallSid"), name="CallSid")


def parent_id(form: Form) -> str | None:
    """
    The id of the leg that dialled this one, or that its conference is named after; None for the
    first leg of a call.
    """
    value = form.get("ParentCallSid")
    if value is None and is_member_event(form):
        value = _conference_call_sid(form)
    if value is None or value == leg_id(form):
        return None
    return call_id(value, name="ParentCallSid")


def _conference_call_sid(form: Form) -> str | None:
    name = form.get("FriendlyName", "")
    if CALL_SID.fullmatch(name):
        return name
    return None


def moment(form: Form, *names: str) -> datetime | None:
    """The first of the fields that holds a moment (UTC); None if none does."""
    for name in names:
        moment = _read_moment(form.get(name, ""))
        if moment is not None:
            return moment
    return None


def _read_moment(value: str) -> datetime | None:
    # ISO 8601 as in Telnyx's examples, or RFC 2822 as its text says.
    return iso_moment(value) or mail_moment(value)
