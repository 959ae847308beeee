"""
The text for the notes of a call in Buildr, and how it is added to what operators wrote there.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from service.events import Recording, Result, Voicemail
from service.settings.outcomes import DEFAULT_NOTE, Notes
from workers.calls.fold import Call

if TYPE_CHECKING:
    from jinja2 import Template

NotesMode = Literal["never", "if_empty", "append"]
LINE_END: Final = re.compile(r"\r\n|\r|\n")


def render_note(call: Call, result: Result | None, notes: Notes, *, outcome_name: str) -> str:
    """
    Write the block for the notes from the operator's template.

    Blank space is cut at the end of the block and of its lines. Names without a value write
    nothing. A template that fails on this very call, as by dividing a duration that is not known,
    is reported in the log, and the default template takes its place: the call's outcome is not
    held up by it.
    """
    # Loaded for notes alone, which few installations write.
    from jinja2 import TemplateError

    values = template_values(call, result, outcome_name)
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
        # Loaded on use, since `explain` renders notes too.
        import structlog

        from service.logs.events import LogEvent

        # A command that keeps no log would print the line among its results.
        if structlog.is_configured():
            log = structlog.get_logger(__name__)
            log.warning(LogEvent.NOTE_TEMPLATE_FAILED, reason=type(err).__name__)
        text = _compile(DEFAULT_NOTE).render(values)
    return "\n".join(line.rstrip() for line in LINE_END.split(text)).strip()


def merge_note(
    existing: str | None, block: str, previous_block: str | None, mode: NotesMode
) -> str | None:
    """
    The whole text to write to the notes, or None to leave them alone.

    All that an operator wrote stays in it. `append` puts the block below the text, once, and
    replaces our own earlier block where that is still there unchanged; if an operator has changed
    or removed it, nothing is written. `if_empty` writes into empty notes, or over our own earlier
    block if the notes hold nothing else. Blocks are found by whole lines, and the ends of lines may
    have been rewritten by Buildr.
    """
    text = existing or ""
    if mode == "never" or not block.strip():
        return None
    previous_span = _find(text, previous_block)
    if previous_span is None:
        if _find(text, block) is not None:
            return None
        return _add(text, block, mode, is_first=not previous_block)
    if _find(text, block) is not None and not _is_part(block, previous_block):
        return None
    return _replace(text, previous_span, block, mode)


def contains_block(text: str, block: str | None) -> bool:
    """Whether notes hold a block of ours as whole lines."""
    return _find(text, block) is not None


def _add(text: str, block: str, mode: NotesMode, *, is_first: bool) -> str | None:
    """The notes with a block that they do not hold, and that has no earlier block to replace."""
    is_empty = not text.strip()
    if mode == "if_empty":
        return block if is_empty else None
    if not is_first:
        # The earlier block was changed or removed by an operator.
        return None
    if is_empty:
        return block
    return text + _gap(text) + block


def _replace(text: str, span: tuple[int, int], block: str, mode: NotesMode) -> str | None:
    """The notes with the block in the place of an earlier one."""
    start, end = span
    before = text[:start]
    after = text[end:]
    is_all = not before.strip() and not after.strip()
    if mode == "if_empty" and not is_all:
        return None
    return before + block + after


def _is_part(block: str, previous_block: str | None) -> bool:
    """Whether a block is some lines of a longer one: finding it does not show that it is there."""
    return block != previous_block and _find(previous_block or "", block) is not None


def _find(text: str, block: str | None) -> tuple[int, int] | None:
    """Where a text holds a block as whole lines: start and end, of the last place if several."""
    if block is None or not block.strip():
        return None
    lines = r"[ \t]*(?:\r\n|\r|\n)".join(re.escape(line) for line in LINE_END.split(block))
    pattern = rf"(?:(?<=[\r\n])|\A){lines}(?=[ \t]*(?:[\r\n]|\Z))"
    spans = [match.span() for match in re.finditer(pattern, text)]
    if not spans:
        return None
    return spans[-1]


def _gap(text: str) -> str:
    """The line ends that are missing for one blank line between a text and a block."""
    line_ends = text[len(text.rstrip("\r\n")) :].replace("\r\n", "\n")
    return "\n" * max(0, 2 - line_ends.count("\n"))


@lru_cache(maxsize=8)
def _compile(template: str) -> "Template":
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(finalize=_blank_for_none).from_string(template)


def _blank_for_none(value: object) -> object:
    return "" if value is None else value


def template_values(call: Call, result: Result | None, outcome_name: str) -> Mapping[str, object]:
    """The template's variables, as listed in docs/outcomes.md."""
    return {
        "result": _plain(result),
        "outcome": outcome_name,
        "direction": _plain(call.direction),
        "from_number": call.from_number,
        "to_number": call.to_number,
        "duration_s": call.duration_s,
        "wait_s": call.wait_s,
        "answered_by": _plain(call.answered_by),
        "started_at": call.started_at,
        "ended_at": call.ended_at,
        "agent": call.agent,
        "rang_agents": call.rang_agents,
        "queue": call.queue,
        "team": call.team,
        "transferred": call.is_transferred,
        "forwarded": call.is_forwarded,
        "answered_elsewhere": call.is_answered_elsewhere,
        "hung_up_by": _plain(call.hung_up_by),
        "disposition": call.disposition,
        "tags": call.tags,
        "note": call.note,
        "recording_url": _url(call.recording),
        "voicemail_url": _url(call.voicemail),
        "voicemail_transcript": _transcript(call.voicemail),
        "source": call.source,
        "source_call_id": call.source_call_id,
    }


def _plain(value: StrEnum | None) -> str | None:
    # A template sees plain text, not an object of ours with attributes.
    if value is None:
        return None
    return value.value


def _url(audio: Recording | Voicemail | None) -> str | None:
    if audio is None:
        return None
    return audio.url


def _transcript(voicemail: Voicemail | None) -> str | None:
    if voicemail is None:
        return None
    return voicemail.transcript
