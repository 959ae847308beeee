"""
Lines of the field logger are those of structlog, byte for byte.
"""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.logs.events import LogEvent
from service.logs.field_logger import FieldLogger
from service.logs.lines import LineLogger, LineMaker, render_json, timestamp
from service.logs.writer import StreamWriter

NAMES: Final = ("reason", "status_code", "duration_ms", "account", "message_id", "from", "token")
TEXTS: Final = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["+15005550006", "CA1", "a=b\n", "secret=x", "5005550006"]),
)
VALUES: Final = st.one_of(TEXTS, st.none(), st.integers(), st.floats(), st.booleans(), st.binary())


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where structlog writes lines in JSON, while the test runs."""
    stream = io.StringIO()
    writer = StreamWriter(stream)
    structlog.configure(
        processors=[LineMaker(render_json)],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=lambda name="", *_: LineLogger(writer, name),
    )
    yield stream
    structlog.reset_defaults()


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_line_is_the_one_of_structlog(fields: dict[str, object]) -> None:
    """Any fields make the same line on both ways, masked in the same way."""
    maker = LineMaker(render_json)
    logger = LineLogger(StreamWriter(io.StringIO()), "service.x")
    expected = maker(logger, "info", {"event": LogEvent.MESSAGE_ACCEPTED, **fields})
    actual = maker.line("info", "service.x", LogEvent.MESSAGE_ACCEPTED, fields)
    start = len(json.dumps({"timestamp": timestamp()}, separators=(",", ":"))) - 1
    assert expected[start:] == actual[start:]


def test_what_is_bound_is_in_no_line(stream: io.StringIO) -> None:
    """A line holds its own fields only, and one below the level of the log is not written."""
    logger = FieldLogger("service.x")
    with structlog.contextvars.bound_contextvars(account="sales"):
        logger.write("info", LogEvent.MESSAGE_ACCEPTED, {"body_bytes": 3})
        logger.write("debug", LogEvent.MESSAGE_ACCEPTED, {"body_bytes": 4})
    (line,) = stream.getvalue().splitlines()
    assert ["timestamp", "level", "event", "logger", "body_bytes"] == list(json.loads(line))


def test_value_that_cannot_be_shown_leaves_a_line_without_it(stream: io.StringIO) -> None:
    """A value whose methods raise does not cost the line, and nothing of it is shown."""

    class Broken(dict[str, object]):
        def items(self) -> object:  # type: ignore[override]
            raise ValueError("+15005550006")

    FieldLogger("service.x").write("error", LogEvent.MESSAGE_ACCEPTED, {"reason": Broken(a=1)})
    line = json.loads(stream.getvalue())
    assert (LogEvent.LOG_UNREADABLE, "error", "ValueError") == (
        line["event"],
        line["level"],
        line["error"],
    )


def test_only_what_is_named_harmless_is_not_masked(stream: io.StringIO) -> None:
    """A field that nobody has thought of is masked."""
    fields = {"account": "+15005550006", "reason": "from +15005550006", "status_code": 204}
    FieldLogger("service.x").write("info", LogEvent.MESSAGE_ACCEPTED, fields, {"account"})
    line = json.loads(stream.getvalue())
    assert ("+15005550006", 204) == (line["account"], line["status_code"])
    assert "5550006" not in line["reason"]


def test_whoever_captures_lines_gets_them(stream: io.StringIO) -> None:
    """Lines that a test captures are not written."""
    logger = FieldLogger("service.x")
    with capture_logs() as lines:
        logger.write("info", LogEvent.MESSAGE_ACCEPTED, {"reason": None})
    assert [{"event": "message.accepted", "log_level": "info", "reason": None}] == lines
    assert stream.getvalue() == ""


def test_time_is_that_of_the_clock() -> None:
    """A timestamp is ISO 8601 in UTC, with microseconds."""
    before = datetime.now(UTC)
    moment = datetime.fromisoformat(timestamp())
    assert before <= moment <= datetime.now(UTC)
    assert len("2026-11-28T10:00:00.000000Z") == len(timestamp())
