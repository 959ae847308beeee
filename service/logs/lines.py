"""
From what is logged to a line: bound fields, level, logger and time are added, exceptions rendered,
everything masked.

The same steps serve structlog, whose lines go straight to the writer, and the records of other
libraries, which come through the standard library's logging.
"""

import sys
import time
import traceback
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final, TypeGuard

import msgspec
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from service.logs.events import LogEvent
from service.logs.masking import MAX_TEXT, in_one_line, key_name, mask, mask_text
from service.logs.writer import LineWriter

# A quarter of the time of the standard serializer, and half of pydantic's.
_encode: Final = msgspec.json.Encoder().encode
# Levels by the name of structlog's method.
LEVELS: Final = {"warn": "warning", "exception": "error"}


class LineLogger:
    """What structlog's loggers give their finished lines to."""

    __slots__ = ("_writer", "name")

    def __init__(self, writer: LineWriter, name: str) -> None:
        self._writer = writer
        self.name = name

    def write(self, line: str) -> None:
        """Write or queue a line; a log that is gone is no reason to break what is logged about."""
        # A stream raises what it likes, also ValueError once it is closed. Not with `suppress`,
        # which takes longer than the line.
        try:
            self._writer.put(line)
        except Exception:
            return

    # structlog calls the method of the line's level.
    debug = info = warning = warn = error = exception = critical = fatal = write


class LineMaker:
    """
    The last and only processor of structlog: the line of what was logged, by a renderer of
    structlog's or `render_json`. One that cannot be rendered becomes a line that says so.
    """

    def __init__(self, renderer: Processor) -> None:
        self._renderer: Final = renderer

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        """The line; keys that are bound are in it, after the line's own."""
        level = LEVELS.get(method, method)
        try:
            event = structlog.contextvars.merge_contextvars(logger, method, event)
            event["level"] = level
            event["logger"] = logger.name
            event["timestamp"] = timestamp()
            if "exc_info" in event:
                render_exception(logger, method, event)
            return str(self._renderer(logger, level, mask_entry(logger, method, event)))
        except Exception as err:
            return self.unreadable(level, logger.name, err)

    def line(
        self,
        level: str,
        logger: str,
        event: LogEvent,
        fields: Mapping[str, object],
        harmless: Collection[str] = (),
    ) -> str:
        """
        The same line for fields that are no exception, without any that are bound. The `harmless`
        ones are not masked.
        """
        entry: EventDict = {
            "timestamp": timestamp(),
            "level": level,
            "event": str(event),
            "logger": logger,
        }
        try:
            for key, value in fields.items():
                entry[key] = value if key in harmless else mask(value, key=key)
            return str(self._renderer(None, level, entry))
        except Exception as err:
            return self.unreadable(level, logger, err)

    def unreadable(self, level: str, logger: str, err: Exception) -> str:
        """
        The line in place of one that cannot be made: values of any type are logged, and their
        methods may raise anything. The message of `err` may quote what could not be masked.
        """
        return self.plain(level, LogEvent.LOG_UNREADABLE, logger=logger, error=type(err).__name__)

    def plain(self, level: str, event: LogEvent, **fields: object) -> str:
        """A line of nothing that needs masking."""
        entry: EventDict = {"timestamp": timestamp(), "level": level, "event": event, **fields}
        return str(self._renderer(None, level, entry))


def timestamp() -> str:
    """Now, in UTC, always with microseconds."""
    microseconds = str(time.time_ns() // 1000)
    return f"{_second(microseconds[:-6])}.{microseconds[-6:]}Z"


# All lines of a second share most of it, and `datetime` takes longer than the rest of a line.
@lru_cache(maxsize=2)
def _second(second: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(second)))


def render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    """One object; what is not ASCII stays as it is."""
    return _encode(event).decode()


def render_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """
    Render an exception: `error` in one line, `exception` as traceback without local variables.
    """
    info = exc_info_of(event.pop("exc_info", None))
    if info is not None:
        event.setdefault("error", in_one_line(info[1]))
        # `traceback` prints no local variables. Those of a handler would hold whole messages and
        # tokens.
        event["exception"] = "".join(traceback.format_exception(*info)).rstrip()
    return event


def exc_info_of(value: object) -> ExcInfo | None:
    """The triple of an exception, given the exception, its triple, or True for the current one."""
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    if _is_exc_info(value):
        return value
    current = sys.exc_info()
    if value and _is_exc_info(current):
        return current
    return None


def _is_exc_info(value: object) -> TypeGuard[ExcInfo]:
    return (
        isinstance(value, tuple)
        and len(value) == len(sys.exc_info())
        and isinstance(value[1], BaseException)
    )


def mask_entry(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask everything, the most telling keys first."""
    exception = event.pop("exception", None)
    masked: EventDict = {
        "timestamp": event.pop("timestamp"),
        "level": event.pop("level"),
        "event": mask(event.pop("event", None)),
    }
    if "logger" in event:
        masked["logger"] = event.pop("logger")
    for key, value in event.items():
        name = key
        if type(key) is not str:
            name = key_name(key)
        masked[name] = mask(value, key=name)
    if isinstance(exception, str):
        masked["exception"] = mask_text(_end_of(exception))
    return masked


def _end_of(exception: str) -> str:
    """The end of a traceback, in whole lines; it is the part that helps most."""
    if len(exception) <= MAX_TEXT:
        return exception
    # The first line is cut; a name that marks its rest as confidential may be in the part that is
    # gone, and masking could not know.
    return exception[-MAX_TEXT:].partition("\n")[2]
