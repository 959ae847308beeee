"""
Why a leg at Telnyx ended: https://developers.telnyx.com/api-reference/callbacks/call-hangup.

`normal_clearing` alone means no more than that the leg is gone: it is seen on answered legs and on
legs that no carrier took. The SIP code beside it tells the two apart.
"""

from collections.abc import Mapping
from typing import Final

from service.events import HangupCause
from service.sources.common import sip
from service.sources.common.fields import seconds

# None: the SIP code decides, else whether the leg was answered.
CAUSES: Final[Mapping[str, HangupCause | None]] = {
    "normal_clearing": None,
    # A limit that counts from the answer.
    "time_limit": HangupCause.COMPLETED,
    "user_busy": HangupCause.BUSY,
    "timeout": HangupCause.NO_ANSWER,
    "no_answer": HangupCause.NO_ANSWER,
    "call_rejected": HangupCause.REJECTED,
    "originator_cancel": HangupCause.CANCELLED,
    "not_found": HangupCause.INVALID_NUMBER,
    "unspecified": HangupCause.FAILED,
}
ANSWERED: Final = 200
# Every other code from 300 on means that the leg could not be set up:
# https://www.rfc-editor.org/rfc/rfc3261#section-21
NOT_SET_UP: Final = range(300, 700)
SIP_CAUSES: Final[Mapping[int, HangupCause]] = {
    ANSWERED: HangupCause.COMPLETED,
    487: HangupCause.CANCELLED,
    **{int(code): HangupCause.NO_ANSWER for code in sip.NOT_REACHED},
    **{int(code): cause for code, cause in sip.DECISIVE.items()},
}


def read_cause(hangup_cause: str | None, sip_code: str | None) -> HangupCause | None:
    """
    Why a leg ended: by Telnyx's cause, or by the SIP code where the cause does not decide; None if
    neither does.
    """
    cause = CAUSES.get(hangup_cause or "")
    if cause is None or cause is HangupCause.FAILED:
        return _by_sip(sip_code) or cause
    return cause


def _by_sip(sip_code: str | None) -> HangupCause | None:
    # Also seen there: `unspecified`, and 16, which is a code of another network.
    code = seconds(sip_code)
    if code is None:
        return None
    cause = SIP_CAUSES.get(code)
    if cause is None and code in NOT_SET_UP:
        return HangupCause.FAILED
    return cause
