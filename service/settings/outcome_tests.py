"""
`[[outcomes.tests]]` of `buildr-calls.toml`: sample calls, each with the outcome that it must get.

`workers.outcomes.sample_calls` runs them.
"""

from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from service.events import AnsweredBy, Direction, Party, Result
from service.settings.number_patterns import PhoneAddress
from service.settings.outcome_refs import MaybeOutcome
from service.settings.toml_values import SourceSlug, StageName, StrictTable, Words

SAMPLE_SOURCE: Final = "standard"


def _read_moment(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("needs its offset, like 2026-11-02T16:00:00Z or 2026-11-02T10:00:00-06:00")
    return value


Seconds = Annotated[int | None, Field(ge=0)]
Moment = Annotated[AwareDatetime, BeforeValidator(_read_moment)]


class SampleCall(StrictTable):
    """
    A call as the conditions of rules see it; what is not written is not known.

    `talk_s`, `wait_s` and `voicemail_s` are in seconds: both sides talked, the other side waited,
    the message is long. `started_at` matters to business hours.
    """

    result: Result
    source: SourceSlug = SAMPLE_SOURCE
    direction: Direction | None = None
    answered_by: AnsweredBy | None = None
    talk_s: Seconds = None
    wait_s: Seconds = None
    voicemail_s: Seconds = None
    disposition: str | None = None
    tag: Words = ()
    agent: str | None = None
    rang_agent: Words = ()
    queue: str | None = None
    team: str | None = None
    from_number: PhoneAddress | None = None
    to_number: PhoneAddress | None = None
    hung_up_by: Party | None = None
    transferred: bool = False
    forwarded: bool = False
    answered_elsewhere: bool = False
    stage: StageName | None = None
    started_at: Moment | None = None

    @model_validator(mode="after")
    def _has_stage_without_end(self) -> Self:
        if self.stage is not None and self.result is not Result.UNKNOWN_END:
            raise ValueError("stage is only of a call with the result unknown_end")
        return self


class OutcomeTest(StrictTable):
    """A sample call and the outcome that it must get; None: it must be left alone."""

    call: SampleCall
    outcome: MaybeOutcome
    name: str | None = None

    def title(self, index: int) -> str:
        """Its place in the file, and its name."""
        if self.name is None:
            return f"outcomes.tests[{index}]"
        return f'outcomes.tests[{index}] "{self.name}"'
