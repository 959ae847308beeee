"""
What the benchmark of delivery reckons is right: theoretical times, percentiles, its calls, its
verdicts. Nothing is timed here.
"""

from dataclasses import replace

import pytest

from service.settings.outcomes import OutcomeConfig
from service.sources import SOURCES
from tests.benchmarks.drain import Drained
from tests.benchmarks.latency import Latency
from tests.benchmarks.recovery import Recovery
from tests.benchmarks.report import table, verdicts
from tests.benchmarks.theory import (
    Limit,
    Reading,
    earliest_end_s,
    percentile,
)
from tests.benchmarks.waiting import kind_of
from tests.benchmarks.workload import (
    CALL_KINDS,
    Case,
    Put,
    make_cases,
    message_of,
    patch_of,
    short_cases,
    shuffled,
)
from workers.calls.fold import fold
from workers.outcomes.decide import decide, outcome_key
from workers.sandbox.rate_limit import NS_PER_S, LeakyBucket, SlidingWindow
from workers.sandbox.records import OUTCOMES

IDS = {outcome_key(name): outcome_id for outcome_id, name in OUTCOMES.items()}


@pytest.mark.parametrize("reading", ["window", "bucket"])
@pytest.mark.parametrize(
    ("count", "requests", "window_s"),
    [(1, 10, 10), (10, 10, 10), (11, 10, 10), (600, 10, 2), (607, 7, 3), (23, 10, 4)],
)
def test_theoretical_time_is_what_the_sandbox_allows(
    reading: Reading, count: int, requests: int, window_s: int
) -> None:
    """
    A client that sends each request at the first moment at which the sandbox lets it through needs
    exactly the theoretical time.
    """
    stored = (
        SlidingWindow(requests, window_s * NS_PER_S)
        if reading == "window"
        else LeakyBucket(requests, window_s * NS_PER_S)
    )
    now_ns = 0
    for _ in range(count):
        now_ns += stored.wait_ns(now_ns)
        stored.take(now_ns)
    assert pytest.approx(now_ns / NS_PER_S, abs=1e-3) == earliest_end_s(
        count, Limit(requests=requests, window_s=window_s), reading
    )


def test_percentiles_are_values_that_occurred() -> None:
    """
    A percentile is the nearest rank, in whatever order the values come; the last one is the
    largest.
    """
    values = [float(number) for number in range(100, 0, -1)]
    assert [50.0, 95.0, 99.0, 100.0] == [
        percentile(values, percent) for percent in (50, 95, 99, 100)
    ]
    assert [7.0, 7.0] == [percentile([7.0], percent) for percent in (0, 95)]
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize("call_kind", range(len(CALL_KINDS)))
def test_calls_end_as_the_benchmark_says(call_kind: int) -> None:
    """
    The service's own reading of a call's five events gives the outcome by which the benchmark
    judges.
    """
    case = next(
        case
        for seed in range(100)
        for case in make_cases(1, seed=seed)
        if case.outcome_id == CALL_KINDS[call_kind][2]
    )
    assert 5 == len(case.events)
    assert case.outcome_id == _outcome_of(case)


def test_waiting_calls_have_an_outcome() -> None:
    """
    Of the calls that only wait, those that name a Buildr call would be written, and the others are
    the last ones.
    """
    cases = list(short_cases(5, unmatched=2))
    assert [True, True, True, False, False] == [bool(case.buildr_call_id) for case in cases]
    assert {case.outcome_id for case in cases} == {_outcome_of(case) for case in cases}


def _outcome_of(case: Case) -> str | None:
    puts = [message_of(Put(case=case, number=number)) for number in range(len(case.events))]
    call = fold(
        [event for put in puts for event in SOURCES["standard"].parse(put.request, put.message_id)]
    )
    assert call.is_final
    assert call.buildr_call_id == (case.buildr_call_id or None)
    outcome = decide(call, OutcomeConfig()).outcome
    return None if outcome is None or outcome.name is None else IDS[outcome_key(outcome.name)]


def test_peer_is_right_where_events_keep_their_order() -> None:
    """
    The plain project that is compared with is not made worse than it is: in order its last write is
    right, and each event writes.
    """
    for case in make_cases(50):
        stored: dict[str, str] = {}
        for event in case.events:
            assert patch_of(event)
            stored |= patch_of(event)
        assert case.outcome_id == stored["call_outcome_id"]


def test_backlog_is_the_same_in_every_run() -> None:
    """
    The order of chance is one and the same, and holds every event once, so that runs can be
    compared.
    """
    names = [
        [(put.case.source_call_id, put.number) for put in shuffled(make_cases(20))]
        for _ in range(2)
    ]
    assert names[0] == names[1]
    assert 100 == len(set(names[0])) == len(names[0])


def test_kinds_of_keys() -> None:
    """Keys that differ only in what they name are of one kind."""
    assert ["m:*", "call:*", "lane", "arq:job:*"] == [
        kind_of(key)
        for key in (
            "bc:default:m:m12",
            "bc:default:call:twilio:CA1",
            "bc:default:lane",
            "arq:job:default|twilio:CA1",
        )
    ]


def _drained(
    *, took_s: float = 10.0, patches: int = 20, refused: int = 0, right: int = 20
) -> Drained:
    return Drained(
        limit=Limit(),
        mode="window",
        workers=4,
        calls=20,
        took_s=took_s,
        patches=patches,
        others=0,
        refused=refused,
        most=10,
        right=right,
        is_over=True,
    )


RECOVERED = Recovery(killed_s=(10.0,), restarted_s=(0.1,), stopped_s=(6.0,))


def test_verdict_names_what_was_missed() -> None:
    """
    A run that meets everything passes; one that misses anything fails and says what, with the exit
    code that goes with it.
    """
    fast = Latency(workers=1, took_ms=(20.0,) * 20)
    slow = Latency(workers=1, took_ms=(20.0,) * 18 + (300.0,) * 2)
    text, is_passed = verdicts([_drained()], [fast], [RECOVERED])
    assert (True, 3, 0) == (is_passed, text.count("- PASS"), text.count("- FAIL"))
    bad = [_drained(took_s=10.3), _drained(patches=21), _drained(refused=1), _drained(right=19)]
    text, is_passed = verdicts(bad, [slow], [replace(RECOVERED, killed_s=(16.0,))])
    assert (False, 6) == (is_passed, text.count("- FAIL"))
    for words in (
        "103.0 % of the theoretical",
        "1.050 PATCHes",
        "1 times 429",
        "1 calls without the right outcome",
        "p95 is 300 ms",
        "went on after 16.0 s",
    ):
        assert words in text


def test_table_is_markdown() -> None:
    """Cells stand between bars under their headings, numbers to the right."""
    assert "| a | b |\n| --- | ---: |\n| x | 1 |" == table(("a", "b"), [("x", 1)])
