"""
The sample calls of `[[outcomes.tests]]`, run through the map of outcomes in the same file.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from service.events import CallEvent, EventType, Result, Voicemail
from service.settings.conditions import ANSWERED_RESULTS
from service.settings.outcome_refs import OutcomeRef
from service.settings.outcome_tests import OutcomeTest, SampleCall
from service.settings.outcomes import OutcomeConfig
from workers.calls.fold import Call, fold
from workers.calls.legs import Stage
from workers.outcomes.decide import Decision, OutcomeIds, decide, outcome_key, resolve


class SampleResult(Struct, frozen=True, kw_only=True):
    """
    What became of one sample call.

    `outcome` is what its call gets, None if it is left alone; `rule` is what decided, for
    operators.
    """

    place: str
    test: OutcomeTest
    outcome: OutcomeRef | None
    rule: str
    is_passed: bool

    def as_dict(self) -> dict[str, object]:
        """For JSON, with the keys place, name, call, expected, outcome, rule, is_passed."""
        return {
            "place": self.place,
            "name": self.test.name,
            "call": self.test.call.model_dump(mode="json", exclude_unset=True),
            "expected": _text(self.test.outcome),
            "outcome": _text(self.outcome),
            "rule": self.rule,
            "is_passed": self.is_passed,
        }


def run_tests(
    config: OutcomeConfig, outcome_ids: OutcomeIds | None = None
) -> tuple[SampleResult, ...]:
    """
    Decide about every sample call, in the order of the file.

    `outcome_ids` go by `outcome_key`. Without them every name counts as one that the account has,
    and a name is never the same outcome as an id.
    """
    return tuple(_run(index, test, config, outcome_ids) for index, test in enumerate(config.tests))


def build_call(sample: SampleCall) -> Call:
    """The call that a sample describes, as if folded from events."""
    event = CallEvent(
        source=sample.source,
        message_id="sample",
        source_call_id="sample",
        leg_id="sample",
        event_type=EventType.UPDATED,
        direction=sample.direction,
    )
    voicemail = None
    if sample.voicemail_s is not None:
        voicemail = Voicemail(duration_s=sample.voicemail_s)
    return replace(
        fold([event]),
        result=sample.result,
        is_final=True,
        stage=Stage(sample.stage or Stage.ENDED),
        direction=sample.direction,
        from_number=sample.from_number,
        to_number=sample.to_number,
        answered_by=sample.answered_by,
        duration_s=_duration_s(sample),
        wait_s=sample.wait_s,
        started_at=sample.started_at,
        voicemail=voicemail,
        agent=sample.agent,
        rang_agents=sample.rang_agent,
        queue=sample.queue,
        team=sample.team,
        disposition=sample.disposition,
        tags=sample.tag,
        hung_up_by=sample.hung_up_by,
        is_transferred=sample.transferred,
        is_forwarded=sample.forwarded,
        is_answered_elsewhere=sample.answered_elsewhere,
    )


def _duration_s(sample: SampleCall) -> int | None:
    # As in the fold: of a call that was not answered it is known to be 0.
    may_have_talk = sample.result in ANSWERED_RESULTS or sample.result is Result.UNKNOWN_END
    if sample.talk_s is None and not may_have_talk:
        return 0
    return sample.talk_s


def _run(
    index: int, test: OutcomeTest, config: OutcomeConfig, outcome_ids: OutcomeIds | None
) -> SampleResult:
    decision = decide(build_call(test.call), config)
    outcome = _written(decision, outcome_ids)
    return SampleResult(
        place=f"outcomes.tests[{index}]",
        test=test,
        outcome=outcome,
        rule=decision.rule,
        is_passed=_key(outcome, outcome_ids) == _key(test.outcome, outcome_ids),
    )


def _written(decision: Decision, outcome_ids: OutcomeIds | None) -> OutcomeRef | None:
    """The outcome that is written: a default that the account does not have is none."""
    outcome = decision.outcome
    if outcome is None or outcome_ids is None or decision.is_explicit:
        return outcome
    if resolve(outcome, outcome_ids) is None:
        return None
    return outcome


def _key(outcome: OutcomeRef | None, outcome_ids: Mapping[str, str] | None) -> str | None:
    """What is equal for two ways to write the same outcome."""
    if outcome is None:
        return None
    outcome_id = resolve(outcome, outcome_ids or {})
    if outcome_id is not None or outcome.name is None:
        return f"id {outcome_id}"
    return outcome_key(outcome.name)


def _text(outcome: OutcomeRef | None) -> str | None:
    if outcome is None:
        return None
    return str(outcome)
