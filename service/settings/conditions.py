"""
The conditions of a rule in `buildr-calls.toml`: shapes and checks. `workers.outcomes.conditions`
applies them.
"""

from collections.abc import Collection, Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from service.events import AnsweredBy, Direction, Party, Result
from service.settings.number_patterns import NumberPatterns
from service.settings.toml_values import SourceSlugs, StageNames, StrictTable, Words, as_tuple

# Of these calls somebody or something picked up, so that their talk time is one.
ANSWERED_RESULTS: Final = frozenset({Result.CONNECTED, Result.LEFT_VOICEMAIL})
# What to use in place of a condition on `duration_s` for calls that were not answered.
VOICEMAIL_CURE: Final = "voicemail_{limit} for the length of the message"
WAIT_CURE: Final = "wait_{limit} for how long the other side waited"
TALK_CURE: Final = "talk_{limit}, which holds only for calls that were answered"


def _read_flag(value: object) -> object:
    if value is False:
        # Most sources report it only where it is so: of the others nothing is known.
        raise ValueError(
            "can only be true, since not every source reports it: put the rule for true first, "
            "and one without this condition after it"
        )
    return value


def _read_hours(value: object) -> object:
    if not isinstance(value, bool | str) or value == "":
        raise ValueError('must be true, false, or a name like "sales" of [business_hours.sales]')
    return value


Seconds = Annotated[int | None, Field(ge=0)]
Flag = Annotated[Literal[True] | None, BeforeValidator(_read_flag)]
# True and False are about the hours without a name.
HoursName = Annotated[bool | str | None, BeforeValidator(_read_hours)]
Results = Annotated[tuple[Result, ...], BeforeValidator(as_tuple)]


class When(StrictTable):
    """
    The conditions of a rule; all that are given must hold, and of a list of words any one. Words
    compare without case. What is not known of a call meets no condition on it.

    `duration_at_least_s` and `duration_below_s` are the talk time, whose newer conditions are
    `talk_at_least_s` and `talk_below_s`; they are refused where they would also hold for calls that
    nobody answered, whose talk time is 0.
    """

    result: Results = ()
    source: SourceSlugs = ()
    direction: Direction | None = None
    answered_by: AnsweredBy | None = None
    talk_at_least_s: Seconds = None
    talk_below_s: Seconds = None
    wait_at_least_s: Seconds = None
    wait_below_s: Seconds = None
    voicemail_at_least_s: Seconds = None
    voicemail_below_s: Seconds = None
    duration_at_least_s: Seconds = None
    duration_below_s: Seconds = None
    disposition: Words = ()
    tag: Words = ()
    agent: Words = ()
    rang_agent: Words = ()
    queue: Words = ()
    team: Words = ()
    from_number: NumberPatterns = ()
    to_number: NumberPatterns = ()
    hung_up_by: Party | None = None
    transferred: Flag = None
    forwarded: Flag = None
    answered_elsewhere: Flag = None
    stalled: bool | None = None
    stage: StageNames = ()
    business_hours: HoursName = None
    outside_business_hours: HoursName = None

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        faults = [*self._faults()]
        if not self.model_fields_set:
            faults = ["names no condition; a rule for every call belongs into [outcomes]"]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def is_for_unknown_end(self) -> bool:
        """Whether it names calls whose end never came; only then it can hold for one."""
        return self.stalled is True or Result.UNKNOWN_END in self.result

    def hours_names(self) -> Iterator[str | None]:
        """The hours that it asks for, by name; None for those without."""
        for hours in (self.business_hours, self.outside_business_hours):
            if isinstance(hours, str):
                yield hours
            elif hours is not None:
                yield None

    def _faults(self) -> Iterator[str]:
        yield from self._duration_faults()
        if self.stalled and set(self.result) - {Result.UNKNOWN_END}:
            yield "a call with stalled = true has the result unknown_end, and no other"
        if self.stalled is False and set(self.result) == {Result.UNKNOWN_END}:
            yield "a call with the result unknown_end is stalled"
        if self.stage and not self.is_for_unknown_end:
            yield "stage is only of calls whose end never came: add stalled = true"

    def _duration_faults(self) -> Iterator[str]:
        """The conditions on `duration_s` that unanswered calls would meet as well."""
        if self.result and ANSWERED_RESULTS.issuperset(self.result):
            return
        if self.duration_at_least_s:
            return
        for limit in ("at_least_s", "below_s"):
            name = f"duration_{limit}"
            if name in self.model_fields_set:
                cures = ", or ".join(_cures(self.result)).format(limit=limit)
                yield (
                    f"{name} would also hold for every call that nobody answered, since its talk "
                    f"time is 0: use {cures}"
                )


def _cures(results: Collection[Result]) -> Iterator[str]:
    """What to use in place of `duration_...`, for calls with these results, or with any."""
    if not results or not ANSWERED_RESULTS.isdisjoint(results):
        yield TALK_CURE
    if not results or Result.VOICEMAIL_RECEIVED in results:
        yield VOICEMAIL_CURE
    if not results or set(results) - ANSWERED_RESULTS - {Result.VOICEMAIL_RECEIVED}:
        yield WAIT_CURE
