"""
The log of both processes, fed everything that could be in it.
"""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, NoReturn

import pytest
import structlog

from service.logs.setup import configure_logging

SECRET = "S3CR3Tvalue"
NUMBERS = ("+15005550006", "%2B15005550006", "(500) 555-0006", "+49 171 123-4567")
PRIVATE = ("Maria Example", "5550006", "555-0006", "123-4567", SECRET)
Format = Literal["auto", "json", "pretty"]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Unprintable:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave the logging of the process as it was."""
    names = (
        "",
        "uvicorn",
        "uvicorn.error",
        "uvicorn.asgi",
        "uvicorn.access",
        "arq",
        "asyncio",
        "httpx",
        "httpcore",
    )
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def _configured(fmt: Format = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(fmt=fmt, level=level, stream=stream)
    return stream


def test_line_is_one_json_object_with_the_keys_in_order() -> None:
    """A line says when, how bad, what and who first, then what was bound, then its own keys."""
    stream = _configured()
    with structlog.contextvars.bound_contextvars(message_id="m1"):
        structlog.get_logger("service.webhooks").info(
            "message.accepted", source="twilio", duration_ms=1.5
        )
    (line,) = _lines(stream)
    assert ["timestamp", "level", "event", "logger", "source", "duration_ms", "message_id"] == list(
        line
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(line.pop("timestamp")))
    assert {
        "level": "info",
        "event": "message.accepted",
        "logger": "service.webhooks",
        "source": "twilio",
        "duration_ms": 1.5,
        "message_id": "m1",
    } == line


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "some.library"])
def test_other_libraries_go_through_the_same_pipeline(name: str) -> None:
    """A record of the standard library is a line like any other, with what was bound."""
    stream = _configured()
    with structlog.contextvars.bound_contextvars(message_id="m1"):
        logging.getLogger(name).info("Started %s", "something")
    (line,) = _lines(stream)
    assert (name, "info", "Started something", "m1") == (
        line["logger"],
        line["level"],
        line["event"],
        line["message_id"],
    )


@pytest.mark.parametrize("level", ["debug", "info"])
def test_talkative_libraries_are_logged_from_warning_on(level: str) -> None:
    """Lines of arq print arguments and lines of httpx print URLs; the access log doubles ours."""
    stream = _configured(level=level)
    for name in ("arq.worker", "arq.jobs", "httpx", "httpcore.http11", "asyncio", "uvicorn.access"):
        logging.getLogger(name).info("too much")
    logging.getLogger("uvicorn.access").error("still too much")
    assert [] == _lines(stream)
    logging.getLogger("arq.worker").warning("listen")
    assert ["listen"] == [line["event"] for line in _lines(stream)]


def test_level_holds_for_both_kinds_of_loggers() -> None:
    """What is below the level is not written, whoever says it."""
    stream = _configured(level="warning")
    structlog.get_logger("a").info("no")
    logging.getLogger("uvicorn.error").info("no")
    structlog.get_logger("a").warning("yes")
    logging.getLogger("uvicorn.error").warning("yes")
    assert ["yes", "yes"] == [line["event"] for line in _lines(stream)]


def test_exception_is_one_line_of_error_and_a_traceback_without_values() -> None:
    """`error` says what happened, `exception` where, with causes and without local variables."""
    stream = _configured()
    secret_local = "Maria Example"
    try:
        try:
            _fail(ValueError(f"call {NUMBERS[0]} token={SECRET}"))
        except ValueError as err:
            raise LookupError(len(secret_local)) from err
    except LookupError:
        structlog.get_logger("service.x").exception("request.broken")
    (line,) = _lines(stream)
    assert ("error", "LookupError: 13") == (line["level"], line["error"])
    assert "ValueError: call +1••••••••06 token=[hidden]" in str(line["exception"])
    assert "Maria" not in stream.getvalue()


@pytest.mark.parametrize("fmt", ["json", "pretty"])
def test_nothing_private_is_in_the_log_whatever_is_logged(fmt: Format) -> None:
    """Numbers, secrets, bodies and notes, in every place of a line: grep finds none of them."""
    stream = _configured(fmt)
    _log_everything()
    text = stream.getvalue()
    assert len(text) > 2000
    for private in PRIVATE:
        assert private not in text
    for harmless in (
        "m0123456789abcdef01234567",
        "CA00000000000000000000000000000001",
        "+1••••••••06",
        "110",
    ):
        assert harmless in text


def _log_everything() -> None:
    log = structlog.get_logger("service.everything")
    body = f"From=%2B15005550006&CallerName=Maria+Example&token={SECRET}".encode()
    with structlog.contextvars.bound_contextvars(
        message_id="m0123456789abcdef01234567",
        source_call_id="CA00000000000000000000000000000001",
        buildr_call_id="110",
    ):
        for number in NUMBERS:
            text = f"said {number}"
            log.info(
                text,
                number=number,
                reason=f"from {number}",
                nested={"deep": [{"to": number}, (number,)]},
            )
            logging.getLogger("uvicorn.error").info("line with %s and %r", number, {"to": number})
        log.info(
            "content",
            body=body,
            raw=body.decode(),
            notes="Maria Example",
            note="Maria Example",
            headers={"a": SECRET},
        )
        log.info(
            "secrets",
            token=SECRET,
            authorization=f"Bearer {SECRET}",
            config={"client_secret": SECRET, "redis": f"redis://:{SECRET}@h"},
        )
        log.info(
            "urls", url=f"https://u:{SECRET}@h.example.test/x?From=%2B15005550006&key={SECRET}"
        )
        log.info(
            "objects", thing=Unprintable(), message=b"Maria Example", source_call_id="+15005550006"
        )
        _log_exceptions(log)
        logging.getLogger("arq.worker").warning("job('+15005550006') notes='Maria Example'")
        logging.getLogger("httpx").warning(
            "HTTP Request: GET https://api.example.test/x?q=%s", SECRET
        )
        logging.getLogger("asyncio").error("Task exception\nAuthorization: Bearer %s", SECRET)


def _log_exceptions(log: structlog.stdlib.BoundLogger) -> None:
    for number in NUMBERS:
        try:
            _fail(ValueError(f"{number} body=b'Maria Example' token={SECRET} redis://:{SECRET}@h"))
        except ValueError as err:
            log.exception("failed", error=str(err))
            log.warning("failed", exc_info=err)
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    try:
        _fail(ExceptionGroup("many", [ValueError(NUMBERS[0]), KeyError(NUMBERS[1])]))
    except ExceptionGroup:
        log.exception("failed")


def _fail(err: Exception) -> NoReturn:
    raise err


@contextmanager
def _quiet_stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    capsys.readouterr()
    yield
    assert ("", "") == tuple(capsys.readouterr())


@pytest.fixture
def quiet_stderr(capsys: pytest.CaptureFixture[str]) -> AbstractContextManager[None]:
    """Fails if anything is printed beside the log."""
    return _quiet_stderr(capsys)


@pytest.mark.parametrize("fmt", ["json", "pretty"])
def test_record_that_cannot_be_rendered_leaves_a_line_and_no_content(
    fmt: Format, quiet_stderr: AbstractContextManager[None]
) -> None:
    """
    Bad arguments and objects that cannot be shown break neither the log nor the program, and print
    nothing elsewhere.
    """
    stream = _configured(fmt)
    with quiet_stderr:
        logging.getLogger("uvicorn.error").warning("number %d", SECRET)
        logging.getLogger("uvicorn.error").warning("object %s", Unprintable())
        structlog.get_logger("service.x").info("fine", thing=Unprintable())
    assert 2 == stream.getvalue().count("log.unreadable")
    assert "<Unprintable>" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_stream_that_is_gone_prints_nothing_elsewhere(
    quiet_stderr: AbstractContextManager[None],
) -> None:
    """A closed log does not make the arguments of a record appear on stderr."""
    stream = _configured()
    stream.close()
    with quiet_stderr:
        structlog.get_logger("service.x").info("message.accepted", notes="Maria Example")


def test_text_that_the_stream_cannot_encode_is_escaped() -> None:
    """A log in ASCII still gets its line."""
    raw = io.BytesIO()
    configure_logging(
        fmt="json", level="info", stream=io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    )
    structlog.get_logger("service.x").info("reported é", number="+15005550006", odd="\udc80")
    assert b"\\u2022" in raw.getvalue()
    assert b"reported" in raw.getvalue()


def test_auto_is_json_off_a_terminal_and_pretty_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets JSON; a terminal gets text with colours, unless NO_COLOR is set."""
    assert _written("auto", io.StringIO()).startswith("{")
    assert "\x1b[" in _written("auto", Terminal())
    assert _written("json", Terminal()).startswith("{")
    assert "\x1b[" not in _written("pretty", io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in _written("auto", Terminal())


def _written(fmt: Format, stream: io.StringIO) -> str:
    configure_logging(fmt=fmt, level="info", stream=stream)
    structlog.get_logger("service.x").info("service.started", reason="a b")
    return stream.getvalue()


def test_configuring_again_replaces_the_stream() -> None:
    """Set up twice, a line is written once."""
    first = _configured()
    second = _configured()
    logging.getLogger("uvicorn").info("once")
    assert ("", 1) == (first.getvalue(), second.getvalue().count("once"))


def test_default_stream_is_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs go where a supervisor looks for them."""
    configure_logging(fmt="auto", level="info")
    structlog.get_logger("service.x").info("service.started")
    assert "service.started" in capsys.readouterr().out


async def test_lines_of_one_task_carry_its_own_ids() -> None:
    """What is bound in one request is not in the lines of another."""
    stream = _configured()

    async def handle(name: str) -> None:
        structlog.contextvars.bind_contextvars(message_id=name)
        await asyncio.sleep(0)
        structlog.get_logger("service.x").info("message.accepted", reason=name)

    await asyncio.gather(*(asyncio.create_task(handle(f"m{number}")) for number in range(5)))
    lines = _lines(stream)
    assert 5 == len(lines)
    assert all(line["message_id"] == line["reason"] for line in lines)
