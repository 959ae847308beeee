"""
What the operator wrote about outcomes in `buildr-calls.toml`: shapes and checks only.

`workers.outcomes` applies it. Written here because a mistake in it must be reported with all other
settings at start.
"""

from datetime import time
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from service.buildr_ids import PATTERN, is_all_digits
from service.events import AnsweredBy, Direction, Result
from service.settings.unknown_end import UnknownEnd, after_s

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DEFAULT_NOTE: Final = (
    "{{ result }}{% if direction %} ({{ direction }}){% endif %}"
    "{% if duration_s %}, {{ duration_s // 60 }} min {{ duration_s % 60 }} s{% endif %}"
    "{% if recording_url %}\nRecording: {{ recording_url }}{% endif %}"
    "{% if voicemail_url %}\nVoicemail: {{ voicemail_url }}{% endif %}"
    "{% if note %}\n{{ note }}{% endif %}"
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OutcomeRef(_Strict):
    """A Buildr call outcome, by its name in the account or by its id (digits)."""

    name: str | None = None
    id: str | None = Field(default=None, pattern=PATTERN)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.name is None) == (self.id is None):
            raise ValueError('give either a name or an id, like "Connected" or {id = "786"}')
        return self

    def __str__(self) -> str:
        if self.name is None:
            return f"id {self.id}"
        return self.name


def _read_ref(value: object) -> object:
    if value is None or value is False or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return {"id": str(value)}
    if isinstance(value, str):
        text = value.strip()
        if is_all_digits(text):
            return {"id": text}
        return {"name": text}
    return value


MaybeOutcome = Annotated[OutcomeRef | None, BeforeValidator(_read_ref)]


def _as_tuple(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class When(_Strict):
    """
    The conditions of a rule; all that are given must hold, and of a list of words any one. Words
    compare without case.
    """

    result: Annotated[tuple[Result, ...], BeforeValidator(_as_tuple)] = ()
    source: Words = ()
    direction: Direction | None = None
    answered_by: AnsweredBy | None = None
    duration_at_least_s: int | None = Field(default=None, ge=0)
    duration_below_s: int | None = Field(default=None, ge=0)
    disposition: Words = ()
    tag: Words = ()
    agent: Words = ()
    business_hours: bool | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names no condition; a rule for every call belongs into [outcomes]")
        return self


class Rule(_Strict):
    """One override: the first rule whose conditions hold decides, before `[outcomes]` is asked."""

    when: When
    outcome: MaybeOutcome
    name: str | None = None


class BusinessHours(_Strict):
    """
    Opening hours per weekday in one time zone, like `mon = "08:00-17:30"`; a day that is not named
    is closed.
    """

    timezone: str = "UTC"
    mon: str | None = None
    tue: str | None = None
    wed: str | None = None
    thu: str | None = None
    fri: str | None = None
    sat: str | None = None
    sun: str | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as err:
            raise ValueError(
                f"no time zone is called {value!r}; use a name like America/Chicago"
            ) from err
        return value

    @field_validator(*WEEKDAYS)
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            read_span(value)
        return value

    def span(self, weekday: int) -> tuple[time, time] | None:
        """Opening and closing time of a weekday (Monday is 0), or None when closed."""
        # By name, since TOML has a key for each day; the type is that of those fields.
        text: str | None = getattr(self, WEEKDAYS[weekday])
        if text is None:
            return None
        return read_span(text)


def read_span(text: str) -> tuple[time, time]:
    """Read `08:00-17:30`. Raises ValueError, with what is expected, for anything else."""
    try:
        opens, closes = (time.fromisoformat(part.strip()) for part in text.split("-"))
    except ValueError as err:
        raise ValueError(f"{text!r} is not a span of time like 08:00-17:30") from err
    if opens >= closes:
        raise ValueError(f"{text!r} closes before it opens; spans end on the same day")
    return opens, closes


class Notes(_Strict):
    """Whether and how `notes` in Buildr are written; `never` leaves them alone."""

    mode: Literal["never", "if_empty", "append"] = "never"
    template: str = DEFAULT_NOTE

    @field_validator("template")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            ImmutableSandboxedEnvironment().from_string(value)
        except TemplateError as err:
            raise ValueError(f"the template cannot be read: {err}") from err
        return value


def _default_outcomes() -> dict[Result, OutcomeRef | None]:
    names = {
        Result.CONNECTED: "Connected",
        Result.LEFT_VOICEMAIL: "Left Voicemail",
        Result.VOICEMAIL_RECEIVED: "Voicemail Received",
        Result.NO_ANSWER: "No Answer",
        Result.BUSY: "Busy",
        Result.REJECTED: "No Answer",
        Result.CANCELLED: None,
        Result.FAILED: None,
        Result.INVALID_NUMBER: "Wrong Number",
        Result.MISSED_INBOUND: "Missed Call",
        Result.ABANDONED: "Missed Call",
        Result.UNKNOWN_END: None,
    }
    return {
        result: None if name is None else OutcomeRef(name=name) for result, name in names.items()
    }


DEFAULT_OUTCOMES: Final = _default_outcomes()


class OutcomeConfig(_Strict):
    """
    How results become outcomes.

    `outcomes` holds what the operator wrote; a result that is not in it falls back to
    `DEFAULT_OUTCOMES` as long as the account has an outcome of that name.
    """

    outcomes: dict[Result, MaybeOutcome] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    business_hours: BusinessHours | None = None
    notes: Notes = Notes()
    recorded_at: Literal["start", "answer", "end", "never"] = "start"
    unknown_end: tuple[UnknownEnd, ...] = ()

    def unknown_end_after_s(self, source: str, stage: str) -> float | None:
        """
        Seconds after its last message at which a call of this source, which is still in this stage,
        gets the result `unknown_end`; None if it never does.
        """
        return after_s(self.unknown_end, source, stage)

    @model_validator(mode="after")
    def _hours_for_rules(self) -> Self:
        if self.business_hours is None and any(
            rule.when.business_hours is not None for rule in self.rules
        ):
            raise ValueError(
                "a rule asks for business_hours, but there is no [business_hours] table"
            )
        return self
