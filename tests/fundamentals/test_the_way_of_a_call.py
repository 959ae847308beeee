"""
The way of one telephone call, from its first webhook to its outcome in Buildr.

Read this file first, from top to bottom. Everything is real but the telephony system: receiver,
Redis, worker, and for Buildr the sandbox. `system.py` drives them. Each part has its own tests in
the folder of its name: `tests/service/receiver`, `tests/workers/calls`, `tests/workers/jobs` ...
"""

import itertools

from service.events import Result
from service.settings.outcomes import OutcomeConfig
from service.store.delivery_state import DeliveryState
from service.store.links import Link
from tests.fundamentals.system import (
    ANOTHER_SECRET,
    ANSWERED,
    ENDED,
    REF,
    RINGING,
    System,
    message,
    read_events,
)
from workers.calls.fold import fold
from workers.outcomes.decide import decide
from workers.replay.explain import explain_call


async def test_signed_webhook_is_accepted_once(system: System) -> None:
    """A webhook that the source sends twice is answered twice and kept once."""
    first = await system.receive(RINGING)
    second = await system.receive(RINGING)
    assert (202, 202) == (first.status_code, second.status_code)
    assert 1 == len((await system.store.calls.load(REF)).pending)


async def test_forged_webhook_is_refused(system: System) -> None:
    """Without the right secret nothing is kept: 401, and no call."""
    response = await system.receive(RINGING, secret=ANOTHER_SECRET)
    assert 401 == response.status_code
    assert 0 == len((await system.store.calls.load(REF)).pending)


def test_events_fold_to_a_result_in_any_order() -> None:
    """Webhooks overtake one another; the result of the call is the same."""
    for bodies in itertools.permutations([RINGING, ANSWERED, ENDED]):
        call = fold(read_events(*bodies))
        assert (Result.CONNECTED, 37) == (call.result, call.duration_s)


def test_call_that_is_not_over_has_no_result() -> None:
    """Before the final event there is nothing to tell Buildr."""
    call = fold(read_events(RINGING, ANSWERED))
    assert (None, False) == (call.result, call.is_final)


def test_result_becomes_an_outcome() -> None:
    """Each result has a default outcome, by its name in the Buildr account."""
    decision = decide(fold(read_events(ENDED)), OutcomeConfig())
    assert ("Connected", "default.connected") == (str(decision.outcome), decision.rule)


def test_rule_of_the_operator_decides_first() -> None:
    """A rule in `buildr-calls.toml` is asked before the defaults."""
    rule = {"when": {"result": "connected", "talk_below_s": 60}, "outcome": "Left Message"}
    config = OutcomeConfig.model_validate({"rules": [rule]})
    decision = decide(fold(read_events(ENDED)), config)
    assert ("Left Message", "rules[0]") == (str(decision.outcome), decision.rule)


async def test_call_is_matched_by_the_id_in_its_messages(system: System) -> None:
    """Where the messages carry the id of the call in Buildr, that call is updated, once."""
    await system.receive_call(buildr_call_id="110")
    await system.run_worker()
    assert [("110", "Connected", 200)] == await system.patches()
    assert "Connected" == await system.outcome_in_buildr("110")


async def test_call_is_matched_by_a_link(system: System) -> None:
    """A call without an id waits as unmatched, until a link names its Buildr call."""
    await system.receive_call()
    await system.run_worker()
    assert DeliveryState.UNMATCHED is (await system.stored()).record.state
    await system.store.links.put("standard", "call-1", Link(buildr_call_id="111"))
    await system.run_worker()
    assert [("111", "Connected", 200)] == await system.patches()


async def test_call_is_matched_by_an_expected_call(system: System) -> None:
    """A call that is expected with the customer's number is found by that number."""
    await system.expect_call(buildr_call_id="112", numbers=["+15005550001"])
    await system.receive_call()
    await system.run_worker()
    assert [("112", "Connected", 200)] == await system.patches()


async def test_late_event_that_changes_nothing_is_not_sent(system: System) -> None:
    """Buildr is sent what changes, and nothing twice."""
    await system.receive_call(buildr_call_id="110")
    await system.run_worker()
    await system.receive(message("answered", 10))
    await system.run_worker()
    assert 1 == len(await system.patches())


async def test_rate_limit_is_waited_for(system: System) -> None:
    """After a 429 the worker waits as long as Buildr asks; the call has failed by no attempt."""
    await system.let_buildr_fail(kind="rate_limit", seconds=30)
    await system.receive_call(buildr_call_id="110")
    await system.run_worker()
    assert [("110", "Connected", 429), ("110", "Connected", 200)] == await system.patches()
    assert DeliveryState.DELIVERED is (await system.stored()).record.state


async def test_refused_update_is_kept_as_failed(system: System) -> None:
    """A 422 would come back for every retry: the call is kept with its cause instead."""
    await system.let_buildr_fail(kind="status", status=422)
    await system.receive_call(buildr_call_id="110")
    await system.run_worker()
    assert [("110", "Connected", 422)] == await system.patches()
    failed = await system.store.failed.get(REF)
    assert failed is not None
    assert ("buildr_rejected", 422) == (failed.cause, failed.answers[-1].status_code)


async def test_replay_delivers_a_failed_call(system: System) -> None:
    """Once the cause is gone, the operator replays the call, and the worker delivers it."""
    await system.let_buildr_fail(kind="status", status=422)
    await system.receive_call(buildr_call_id="110")
    await system.run_worker()
    await system.replay_failed_calls()
    await system.run_worker()
    assert "Connected" == await system.outcome_in_buildr("110")
    assert 0 == await system.store.failed.count()


async def test_explain_shows_why(system: System) -> None:
    """`buildr-calls explain` shows the events, the match, the rule and the PATCH of a call."""
    await system.receive_call(buildr_call_id="110")
    await system.run_worker()
    explanation = await explain_call(system.store, REF, OutcomeConfig())
    assert explanation is not None
    assert explanation.call is not None
    assert 3 == len(explanation.call.events)
    assert "The message itself names Buildr call 110." == explanation.call.match.reason
    assert "default.connected" == explanation.call.rule
    assert "delivered" == explanation.delivery.as_dict()["state"]
