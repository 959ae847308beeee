"""
The benchmark of the front door runs, counts what it sends, and reports it rightly. Nothing is timed
here.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from service.store.keys import Keys
from tests.benchmarks.front_door import Bench
from tests.benchmarks.front_door_load import Load, LoadError, is_complete
from tests.benchmarks.front_door_messages import STANDARD_BYTES, TWILIO_BYTES, messages
from tests.benchmarks.front_door_report import BEGIN, END, Measured, Report, ratio
from tests.benchmarks.front_door_servers import ARQ, BARE, OURS, PEERS, ours, running
from tests.doubles.redis import RedisServer

RUN = Measured(
    server=BARE,
    source="twilio",
    round=0,
    rate=1000.0,
    p50_ms=1.0,
    p99_ms=2.0,
    server_us=100.0,
    redis_us=0.0,
    load_us=10.0,
    resident_mb=40.0,
)
RUNS = [
    RUN,
    replace(RUN, server=ARQ, rate=200.0),
    replace(RUN, server=OURS, rate=500.0),
    replace(RUN, round=1, rate=400.0),
    replace(RUN, round=1, server=OURS, rate=300.0),
    replace(RUN, round=2, rate=400.0),
    replace(RUN, round=2, server=OURS, rate=240.0),
]


@pytest.mark.slow
def test_every_answered_message_is_found_in_redis(tmp_path: Path) -> None:
    """A short run over HTTP: the receiver answers each message, and has stored it."""
    redis = RedisServer(tmp_path)
    redis.start()
    bench = Bench(redis=redis, folder=tmp_path, connections=4, warm_up=10)
    pool = messages("twilio", 30)
    try:
        with running(ours(), redis.url, tmp_path) as server:
            result = bench.measure(server, "twilio", pool, seconds=0.5, round_=0)
        with Redis.from_url(redis.url) as client:
            assert 1 <= int(str(client.zcard(Keys().named("inbox")))) <= 20
    finally:
        redis.kill()
    assert (OURS, "twilio") == (result.server, result.source)


def test_run_with_a_refused_message_is_void(tmp_path: Path) -> None:
    """A server that refuses is not measured by how fast it does so."""
    load = Load(answers=10, refused=1, broken=0, took_s=1.0, p50_ms=1.0, p99_ms=1.0)
    with pytest.raises(LoadError, match="1 refused"):
        Bench(redis=RedisServer(tmp_path), folder=tmp_path).check(PEERS[0], None, load)


@pytest.mark.parametrize("source", ["twilio", "standard", "aircall"])
def test_messages_are_all_different(source: str) -> None:
    """Those of the two main sources have one length each."""
    made = messages(source, 30)
    assert 30 == len(set(made))
    sizes = {len(message.partition(b"\r\n\r\n")[2]) for message in made}
    assert sizes == {"twilio": {TWILIO_BYTES}, "standard": {STANDARD_BYTES}}.get(source, sizes)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\ncontent-le", False),
    ],
)
def test_answer_is_complete_with_its_body(received: bytes, *, expected: bool) -> None:
    """The own generator sends the next message only after a whole answer."""
    assert expected == is_complete(received)


def test_ratio_is_the_median_of_the_rounds() -> None:
    """Rates of different rounds are never compared."""
    assert 0.6 == ratio(RUNS, "twilio", OURS, BARE)
    assert 2.5 == ratio(RUNS, "twilio", OURS, ARQ)
    assert 0.0 == ratio(RUNS, "standard", OURS, BARE)


def test_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The page gets its tables between two lines, the picture its bars, the file every figure."""
    (tmp_path / "benchmarks.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    others = [replace(RUN, source="zoom"), replace(RUN, source="zoom", server=OURS, rate=400.0)]
    processes = [replace(RUN, server=OURS), replace(RUN, server="two", rate=1900.0)]
    report = Report(
        machine="2 cores",
        measured={
            "servers": RUNS,
            "sources": others,
            "processes": processes,
            "memory": [replace(RUN, messages=600, resident_mb=mb) for mb in (70.0, 71.5)],
        },
    )
    report.write(tmp_path)
    assert report == Report.read(tmp_path / "front-door.json")
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.startswith(f"before\n{BEGIN}")
    assert page.endswith(f"{END}\nafter\n")
    for cells in (
        "| buildr-calls | 300 | 60 % | 2.50 |",
        "| zoom | 400 | 40 % |",
        "| two | 1,900",
        "took 1,200 messages of `twilio` in 2 runs",
        "70.0 MB after the first run, 71.5 MB half-way and 71.5 MB after the last",
    ):
        assert cells in page
    assert "old" not in page
    assert 3 == (tmp_path / "front-door.svg").read_text().count("<rect x=")
    slower = replace(report, measured={"servers": [replace(run, rate=30.0) for run in RUNS[:3]]})
    assert "| twilio, of bare Starlette | 0.60 | 1.00 | 1.67 |" in slower.compared_with(report)
