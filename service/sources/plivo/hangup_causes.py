"""
Why a leg at Plivo ended: https://www.plivo.com/docs/voice/troubleshooting/hangup-causes.

The code is more precise than the status beside it, which is `completed` as soon as Plivo took the
call.
"""

from collections.abc import Mapping
from typing import Final

from service.events import HangupCause

# Of a call and of a `<Dial>`: https://www.plivo.com/docs/voice/use-cases/dial-status-reporting,
# https://www.plivo.com/docs/voice/xml/dial
STATUS_CAUSES: Final[Mapping[str, HangupCause]] = {
    "completed": HangupCause.COMPLETED,
    "busy": HangupCause.BUSY,
    "failed": HangupCause.FAILED,
    "timeout": HangupCause.NO_ANSWER,
    "no-answer": HangupCause.NO_ANSWER,
    "cancel": HangupCause.CANCELLED,
}
# Normal hangup, XML ended, conference ended, kicked out, longest duration, media timeout: after
# talk, if there was any.
MEDIA_TIMEOUT: Final = "6020"
ENDS_TALK: Final = frozenset({"4000", "4010", "4020", "4030", "6000", MEDIA_TIMEOUT})
# A machine picked up and Plivo hung up: nobody was reached.
MACHINE_HUNG_UP: Final = "9100"
HANGUP_CODES: Final[Mapping[str, HangupCause]] = {
    "0": HangupCause.FAILED,
    "1000": HangupCause.CANCELLED,
    "1010": HangupCause.FAILED,
    "1020": HangupCause.FAILED,
    "2000": HangupCause.INVALID_NUMBER,
    "2010": HangupCause.INVALID_NUMBER,
    "2020": HangupCause.FAILED,
    "2030": HangupCause.FAILED,
    "2040": HangupCause.FAILED,
    "2050": HangupCause.FAILED,
    "2060": HangupCause.FAILED,
    "2070": HangupCause.FAILED,
    "3000": HangupCause.NO_ANSWER,
    "3010": HangupCause.BUSY,
    "3020": HangupCause.REJECTED,
    "3030": HangupCause.FAILED,
    "3040": HangupCause.REJECTED,
    "3050": HangupCause.INVALID_NUMBER,
    "3070": HangupCause.NO_ANSWER,
    "3080": HangupCause.FAILED,
    "3090": HangupCause.FAILED,
    "3100": HangupCause.BUSY,
    "3110": HangupCause.REJECTED,
    "3120": HangupCause.INVALID_NUMBER,
    "3130": HangupCause.REJECTED,
    "3140": HangupCause.REJECTED,
    "4240": HangupCause.FAILED,
    "4250": HangupCause.FAILED,
    "6010": HangupCause.NO_ANSWER,
    # Another telephone of those that rang was picked up first.
    "9000": HangupCause.CANCELLED,
    MACHINE_HUNG_UP: HangupCause.NO_ANSWER,
    # Somebody picked up, but did not press the key that takes the call.
    "9110": HangupCause.NO_ANSWER,
}
# Errors in a document, or its address, behind the first one, which Plivo asks for only once a call
# was answered, and often when a `<Dial>` is over: action, transfer, redirect.
LATER_DOCUMENTS: Final = frozenset({"2", "3", "4"})
DOCUMENT_GROUPS: Final = ("70", "80")
# Platform, XML and URL errors: there are many, and new ones come without notice.
FAILED_GROUPS: Final = ("5", "7", "8")
CODE_LENGTH: Final = 4


def is_known_code(code: str) -> bool:
    """Whether a hangup code is in a table, or of a group that always means the same."""
    return code in ENDS_TALK or code in HANGUP_CODES or _is_failed_group(code)


def is_after_answer(code: str | None) -> bool:
    """Whether a code is of an error that only a call which was answered can have."""
    if code is None or len(code) != CODE_LENGTH:
        return False
    return code.startswith(DOCUMENT_GROUPS) and code[-1] in LATER_DOCUMENTS


def read_cause(
    code: str | None, status_cause: HangupCause | None, *, is_answered: bool
) -> HangupCause | None:
    """
    Why a leg ended: by its code, else as the status reports. A leg that was not answered is never
    `completed`.
    """
    if code in ENDS_TALK:
        return _cause_of_talk(code, status_cause, is_answered=is_answered)
    cause = HANGUP_CODES.get(code or "")
    if cause is None and _is_failed_group(code or ""):
        cause = HangupCause.FAILED
    return _unless_unanswered(cause or status_cause, is_answered=is_answered)


def _cause_of_talk(
    code: str | None, status_cause: HangupCause | None, *, is_answered: bool
) -> HangupCause | None:
    if is_answered:
        return HangupCause.COMPLETED
    if code == MEDIA_TIMEOUT:
        return HangupCause.FAILED
    return _unless_unanswered(status_cause or HangupCause.NO_ANSWER, is_answered=False)


def _unless_unanswered(cause: HangupCause | None, *, is_answered: bool) -> HangupCause | None:
    if cause is HangupCause.COMPLETED and not is_answered:
        return HangupCause.NO_ANSWER
    return cause


def _is_failed_group(code: str) -> bool:
    is_code = len(code) == CODE_LENGTH and code.isascii() and code.isdigit()
    return is_code and code.startswith(FAILED_GROUPS)
