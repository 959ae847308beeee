"""
What the operator wrote about outcomes in `buildr-calls.toml`: shapes and checks only.

`workers.outcomes` applies it. Written here because a mistake in it must be reported with all other
settings at start.
"""

from collections.abc import Iterator
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from service.events import Result
from service.settings.business_hours import BusinessHours
from service.settings.conditions import When
from service.settings.outcome_refs import MaybeOutcome, OutcomeRef
from service.settings.outcome_tests import OutcomeTest
from service.settings.toml_values import StrictTable
from service.settings.unknown_end import DEFAULT_AFTER_S, UnknownEnd, after_s

DEFAULT_NOTE: Final = (
    "{{ result }}{% if direction %} ({{ direction }}){% endif %}"
    "{% if duration_s %}, {{ duration_s // 60 }} min {{ duration_s % 60 }} s{% endif %}"
    "{% if transferred %}, transferred{% endif %}"
    "{% if recording_url %}\nRecording: {{ recording_url }}{% endif %}"
    "{% if voicemail_url %}\nVoicemail: {{ voicemail_url }}{% endif %}"
    "{% if note %}\n{{ note }}{% endif %}"
)


class Rule(StrictTable):
    """One override: the first rule whose conditions hold decides, before `[outcomes]` is asked."""

    when: When
    outcome: MaybeOutcome
    name: str | None = None

    def title(self, index: int) -> str:
        """Its place in the file, counted from 0, and its name."""
        if self.name is None:
            return f"rules[{index}]"
        return f'rules[{index}] "{self.name}"'


class Notes(StrictTable):
    """Whether and how `notes` in Buildr are written; `never` leaves them alone."""

    mode: Literal["never", "if_empty", "append"] = "never"
    template: str = DEFAULT_NOTE

    @field_validator("template")
    @classmethod
    def _compiles(cls, value: str) -> str:
        # Loaded for templates alone, which few installations have.
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

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


class OutcomeConfig(StrictTable):
    """
    How results become outcomes.

    `outcomes` holds what the operator wrote; a result that is not in it falls back to
    `DEFAULT_OUTCOMES` as long as the account has an outcome of that name. `tests` lie in
    `[[outcomes.tests]]` and decide nothing.
    """

    outcomes: dict[Result, MaybeOutcome] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    business_hours: BusinessHours | None = None
    notes: Notes = Notes()
    recorded_at: Literal["start", "answer", "end", "never"] = "start"
    unknown_end: tuple[UnknownEnd, ...] = ()
    tests: tuple[OutcomeTest, ...] = ()

    @model_validator(mode="after")
    def _has_hours_of_rules(self) -> Self:
        faults = [*self._hours_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def maps_unknown_end(self) -> bool:
        """Whether a call whose end never comes can get an outcome at all."""
        return self.outcomes.get(Result.UNKNOWN_END) is not None or any(
            rule.when.is_for_unknown_end and rule.outcome is not None for rule in self.rules
        )

    def unknown_end_after_s(self, source: str, stage: str) -> float | None:
        """
        Seconds after its last message at which a call of this source, which is still in this stage,
        gets the result `unknown_end`; None if it never does.

        Where the result is mapped and no `[[unknown_end]]` is written, that is after a day.
        """
        if self.unknown_end:
            return after_s(self.unknown_end, source, stage)
        if self.maps_unknown_end:
            return DEFAULT_AFTER_S
        return None

    def _hours_faults(self) -> Iterator[str]:
        for index, rule in enumerate(self.rules):
            for hours_name in rule.when.hours_names():
                fault = self._hours_fault(hours_name)
                if fault is not None:
                    yield f"{rule.title(index)} asks for business_hours, but {fault}"

    def _hours_fault(self, hours_name: str | None) -> str | None:
        if self.business_hours is None:
            return "there is no [business_hours] table"
        return self.business_hours.fault(hours_name)
