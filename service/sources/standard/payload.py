"""
The body of a message of the source `standard`, version 1: the shape that any telephony system can
be brought to.

Names and types are strict, and a field that is not known is refused: a typing error would otherwise
lose its value silently. The four vocabularies `type`, `answered_by`, `hangup_cause` and `result`
are wide open when a message is read, so that a word from a later version is kept and reported; the
published schema lists them.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.buildr_ids import BuildrCallId
from service.events import STATED_RESULTS, AnsweredBy, Direction, HangupCause, Party
from service.sources.standard.vocabulary import EVENT_TYPES, NEEDED

VERSION: Final = "1"
RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _check_time(value: object) -> object:
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):
        raise ValueError("must be a time with its offset, like 2026-11-02T10:00:00Z")
    return value


def _vocabulary(values: Iterable[str]) -> dict[str, object]:
    return {"enum": [str(value) for value in values]}


Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Word = Annotated[str, Field(min_length=1, max_length=100)]
Address = Annotated[str, Field(min_length=1, max_length=200)]
Url = Annotated[
    str, Field(max_length=2000, pattern=r"^https?://[^\s]+$", json_schema_extra={"format": "uri"})
]
Seconds = Annotated[int, Field(ge=0, le=10_000_000)]
# Not strict, because the check before it hands on a text, which the strict reading would refuse.
Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_check_time)]
TypeWord = Annotated[Word, Field(json_schema_extra=_vocabulary(EVENT_TYPES))]
AnsweredByWord = Annotated[Word, Field(json_schema_extra=_vocabulary(AnsweredBy))]
HangupWord = Annotated[Word, Field(json_schema_extra=_vocabulary(HangupCause))]
ResultWord = Annotated[Word, Field(json_schema_extra=_vocabulary(STATED_RESULTS))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class StandardRecording(_Part):
    """A recording of the call."""

    id: Id | None = Field(None, description="The recording's id in your system.")
    url: Url | None = Field(None, description="Where it can be heard.")
    duration_s: Seconds | None = Field(None, description="Its length in whole seconds.")


class StandardVoicemail(_Part):
    """A message that the caller left for us."""

    url: Url | None = Field(None, description="Where it can be heard.")
    duration_s: Seconds | None = Field(None, description="Its length in whole seconds.")
    transcript: str | None = Field(None, max_length=20_000, description="What was said.")


class StandardMessage(_Part):
    """One event of one leg of a call; the description of each field is its row in the docs."""

    version: Literal["1"] = Field(description="The version of this form: `1`.")
    type: TypeWord = Field(description="What happened.")
    call_id: Id = Field(description="Your id of the call; the same in every message of it.")
    leg_id: Id | None = Field(
        None, description="Your id of the leg, if you tell legs apart; default: `call_id`."
    )
    parent_leg_id: Id | None = Field(None, description="The leg that this leg was dialled from.")
    occurred_at: Time | None = Field(None, description="When it happened, with offset.")
    sequence: Annotated[int, Field(ge=0, le=10**15)] | None = Field(
        None, description="Counts up within a leg; orders its events."
    )
    direction: Direction | None = Field(
        None, description="`outbound`: a rep calls somebody. `inbound`: somebody calls us."
    )
    party: Party | None = Field(
        None,
        description=(
            "Whose leg it is: the `customer`'s, as is taken where no `leg_id` is given, "
            "or that of one of our agents (`agent`)."
        ),
    )
    from_: Address | None = Field(
        None, alias="from", description="Who calls: E.164 like `+15005550006`, or another address."
    )
    to: Address | None = Field(
        None, description="Who is called: E.164 like `+15005550006`, or another address."
    )
    duration_s: Seconds | None = Field(
        None, description="Talk time of the leg in whole seconds, on `call.ended`."
    )
    answered_by: AnsweredByWord | None = Field(None, description="Who or what picked up.")
    hangup_cause: HangupWord | None = Field(
        None, description="Why the leg ended; `completed` means that it had been answered."
    )
    result: ResultWord | None = Field(
        None, description="How the whole call ended, if your system knows; it then decides alone."
    )
    recording: StandardRecording | None = Field(None, description="A recording of the call.")
    voicemail: StandardVoicemail | None = Field(
        None, description="A message that the caller left for us."
    )
    wait_s: Seconds | None = Field(
        None,
        description=(
            "How long the other side waited until somebody took the call or it was given up, "
            "in whole seconds."
        ),
    )
    queue: Word | None = Field(
        None, description="The queue, hunt group or call flow that distributed the call."
    )
    team: Word | None = Field(None, description="The team that the call was distributed to.")
    hung_up_by: Party | None = Field(
        None, description="Who hung up first: `customer` or `agent`, on `call.ended`."
    )
    is_transferred: bool | None = Field(
        None, description="`true`: an agent passed the call on to somebody else."
    )
    is_forwarded: bool | None = Field(
        None, description="`true`: a setting sent the call to another number before it was taken."
    )
    is_answered_elsewhere: bool | None = Field(
        None, description="`true`: this leg rang, and another telephone took the call."
    )
    agent: Address | None = Field(
        None, description="Who of us took or made the call: a name, an address, an id."
    )
    disposition: Word | None = Field(
        None, description="What the agent picked as the call's outcome."
    )
    tags: Annotated[tuple[Word, ...], Field(max_length=50)] = Field(
        (), description="Labels of the call."
    )
    note: str | None = Field(None, max_length=10_000, description="What the agent wrote.")
    buildr_call_id: BuildrCallId | None = Field(
        None, description="The id of the call in Buildr, digits as text."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        needed = NEEDED.get(self.type, ())
        if needed and all(getattr(self, name) is None for name in needed):
            raise ValueError(f"{self.type} needs {' or '.join(needed)}")
        return self


def json_schema() -> dict[str, object]:
    """The published JSON Schema of a message (draft 2020-12)."""
    schema: dict[str, object] = StandardMessage.model_json_schema(by_alias=True)
    conditions = [
        {
            "if": {"properties": {"type": {"const": event_type}}, "required": ["type"]},
            "then": {
                "anyOf": [
                    {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                    for name in needed
                ]
            },
        }
        for event_type, needed in NEEDED.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "buildr-calls: a message of the source standard, version 1",
        "allOf": conditions,
    }
