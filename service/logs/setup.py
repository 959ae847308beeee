"""
Logging of both processes: structlog, and every library's own log, through one pipeline that masks
all of it.

JSON off a terminal, one object per line; for people on one.
"""

import logging
import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict

from service.logs.events import LogEvent
from service.logs.lines import (
    LineLogger,
    LineMaker,
    mask_entry,
    render_exception,
    render_json,
    timestamp,
)
from service.logs.writer import LineWriter, make_writer

# A process that ends waits so long for the reader of its log.
FLUSH_TIMEOUT_S: Final = 2.0
_LEVELS: Final[Mapping[str, int]] = {
    # arq logs the arguments of each job at level info.
    "arq": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpcore": logging.WARNING,
    # httpx logs each URL with its query at level info.
    "httpx": logging.WARNING,
    # One line per message is ours; an access log would double it.
    "uvicorn.access": logging.CRITICAL + 1,
}


def configure_logging(
    *,
    fmt: Literal["auto", "json", "pretty"],
    level: str,
    stream: TextIO | None = None,
    in_background: bool = False,
) -> None:
    """
    Send structlog and the standard library's logging to one stream (stdout by default).

    `auto` is `pretty` on a terminal and `json` elsewhere. With `in_background` a thread writes, for
    processes that must not wait for the reader of their log. Calling it again replaces what the
    last call set.
    """
    stream = stream or sys.stdout
    least = logging.getLevelNamesMapping()[level.upper()]
    renderer = _renderer(fmt, stream)
    maker = LineMaker(renderer)

    def dropped_line(count: int) -> str:
        # Nobody read the log: lines are missing.
        return maker.plain("warning", LogEvent.LOG_LINES_DROPPED, logger=__name__, count=count)

    # A name from a vendor in a terminal of another encoding must not cost the line.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    writer = make_writer(stream, in_background=in_background, dropped_line=dropped_line)
    structlog.configure(
        # Not through the standard library's logging, which takes three times as long.
        processors=[maker],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda name="", *_: LineLogger(writer, name),
        # Loggers are made at import, before this runs: a cached one would keep the configuration of
        # then.
        cache_logger_on_first_use=False,
    )
    handler = _Handler(writer)
    handler.setFormatter(_Formatter(renderer, maker))
    root = logging.getLogger()
    for handler_before in root.handlers:
        # Only ours: others may be of a test or of the program that imports this one.
        if isinstance(handler_before, _Handler):
            handler_before.close()
    # In place of all others, since a second handler would print each line once more, unmasked.
    root.handlers[:] = [handler]
    root.setLevel(least)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", *_LEVELS):
        logging.getLogger(name).setLevel(max(least, _LEVELS.get(name, least)))


def log_line(event: LogEvent, **fields: object) -> str:
    """
    One line in JSON as the service writes it, at level info and masked: for a command that has to
    leave one, though its own output is no log.
    """
    entry: EventDict = {"timestamp": timestamp(), "level": "info", "event": event, **fields}
    return render_json(None, "info", mask_entry(None, "info", entry))


def flush_log(timeout_s: float = FLUSH_TIMEOUT_S) -> None:
    """Wait until the lines that are queued are written, at most `timeout_s` for each stream."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.writer.flush(timeout_s)


def flush_log_on_signal(signal_number: signal.Signals) -> None:
    """
    Write what is queued before a signal ends the process, for as long as no other handler is set;
    then what was to happen before, if a handler of Python's is replaced.

    Raises ValueError outside the main thread.
    """
    before = signal.getsignal(signal_number)

    def end(number: int, _: FrameType | None) -> None:
        flush_log()
        signal.signal(number, before if callable(before) else signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal_number, end)


def _renderer(fmt: Literal["auto", "json", "pretty"], stream: TextIO) -> structlog.typing.Processor:
    is_terminal = stream.isatty()
    if fmt == "pretty" or (fmt == "auto" and is_terminal):
        return structlog.dev.ConsoleRenderer(
            colors=is_terminal and not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
        )
    return render_json


def _foreign() -> "list[structlog.typing.Processor]":
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


class _Formatter(logging.Formatter):
    """
    Renders every record of other libraries; one that cannot be rendered leaves a line that says so,
    and nothing of its content.
    """

    def __init__(self, renderer: structlog.typing.Processor, maker: LineMaker) -> None:
        super().__init__()
        remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        self._inner: Final = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_foreign(),
            processors=[remove, render_exception, mask_entry, renderer],
        )
        self._maker: Final = maker

    def format(self, record: logging.LogRecord) -> str:
        try:
            return self._inner.format(record)
        except Exception as err:
            return self._maker.unreadable(record.levelname.lower(), record.name, err)


class _Handler(logging.Handler):
    """Gives lines to a writer; a stream that is gone is no reason to print a record elsewhere."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self.writer: Final = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Render a record and write or queue it."""
        try:
            self.writer.put(self.format(record))
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: the standard library would print the record's arguments, unmasked, to stderr."""

    def close(self) -> None:
        """Write what is queued, and no more after it; called when the interpreter ends."""
        self.writer.close(FLUSH_TIMEOUT_S)
        super().close()
