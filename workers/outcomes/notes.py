"""
The text for Buildr's notes, and how it comes to stand beside what people wrote there.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import structlog
from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from service.events import Result
from service.settings.outcomes import DEFAULT_NOTE, Notes
from workers.calls.fold import Call

NotesMode = Literal["never", "if_empty", "append"]
LINE_END: Final = re.compile(r"\r\n|\r|\n")
log = structlog.get_logger(__name__)


def render_note(call: Call, result: Result | None, notes: Notes, *, outcome_name: str) -> str:
    """
    Write the block for the notes from the operator's template, without blank space at its end or
    its lines' ends.

    Names without a value write nothing. A template that breaks on this very call, as by reckoning
    with a duration that is not known, gives way to the default one and is reported in the log: the
    call's outcome is not held up by it.
    """
    values = _values(call, result, outcome_name)
    try:
        text = _compile(notes.template).render(values)
    except (
        TemplateError,
        ArithmeticError,
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
    ) as err:
        log.warning("note.template_failed", reason=type(err).__name__)
        text = _compile(DEFAULT_NOTE).render(values)
    return "\n".join(line.rstrip() for line in LINE_END.split(text)).strip()


def merge_note(
    existing: str | None, block: str, previous_block: str | None, mode: NotesMode
) -> str | None:
    """
    What the notes shall hold, or None to leave them alone; what a person wrote is always still in
    it.

    `append` puts the block below the text, once, and replaces our own earlier block where that
    still stands word for word; if a person has changed or removed it, nothing is done. `if_empty`
    writes into empty notes, or over our own earlier block where nothing else stands. Blocks are
    found by whole lines, and the ends of lines may have been rewritten by Buildr.
    """
    text = existing or ""
    if mode == "never" or not block.strip():
        return None
    found = _find(text, previous_block)
    if _is_there(text, block, previous_block if found else None):
        return None
    if found is not None:
        start, end = found
        is_all = not (text[:start].strip() or text[end:].strip())
        return text[:start] + block + text[end:] if mode == "append" or is_all else None
    if not text.strip():
        return None if previous_block and mode == "append" else block
    if mode == "if_empty" or previous_block:
        return None
    return text + _gap(text) + block


def _is_there(text: str, block: str, standing_block: str | None) -> bool:
    # A new block that is a part of the old one does not stand there by itself.
    is_part = (
        standing_block is not None
        and standing_block != block
        and _find(standing_block, block) is not None
    )
    return _find(text, block) is not None and not is_part


def _find(text: str, block: str | None) -> tuple[int, int] | None:
    """Where a block stands in a text as whole lines, the last place if there are several."""
    if block is None or not block.strip():
        return None
    lines = r"[ \t]*(?:\r\n|\r|\n)".join(re.escape(line) for line in LINE_END.split(block))
    places = [
        found.span()
        for found in re.finditer(rf"(?:(?<=[\r\n])|\A){lines}(?=[ \t]*(?:[\r\n]|\Z))", text)
    ]
    return places[-1] if places else None


def _gap(text: str) -> str:
    endings = len(text) - len(text.rstrip("\r\n"))
    newlines = text[len(text) - endings :].replace("\r\n", "\n").count("\n")
    return "\n" * max(0, 2 - newlines)


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    return ImmutableSandboxedEnvironment(finalize=_blank_for_none).from_string(template)


def _blank_for_none(value: object) -> object:
    return "" if value is None else value


def _values(call: Call, result: Result | None, outcome_name: str) -> Mapping[str, object]:
    recording, voicemail = call.recording, call.voicemail
    return {
        "result": None if result is None else result.value,
        "outcome": outcome_name,
        "direction": None if call.direction is None else call.direction.value,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "duration_s": call.duration_s,
        "answered_by": None if call.answered_by is None else call.answered_by.value,
        "started_at": call.started_at,
        "ended_at": call.ended_at,
        "agent": call.agent,
        "disposition": call.disposition,
        "tags": call.tags,
        "note": call.note,
        "recording_url": None if recording is None else recording.url,
        "voicemail_url": None if voicemail is None else voicemail.url,
        "voicemail_transcript": None if voicemail is None else voicemail.transcript,
        "source": call.source,
        "source_call_id": call.source_call_id,
    }
