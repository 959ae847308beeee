"""
A logger for lines that are written often: it makes the same line as structlog's, without the steps
that such a line does not need.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.logs.lines import LineLogger, LineMaker


class FieldLogger:
    """
    Writes lines whose fields are all given with each; nothing that is bound is added. Make it after
    logging is configured.

    `plain` is the logger of structlog under the same name.
    """

    def __init__(self, name: str) -> None:
        self.plain: Final[structlog.typing.FilteringBoundLogger] = structlog.get_logger(name).bind()
        config = structlog.get_config()
        # The list itself: who captures lines, as tests do, replaces what is in it.
        self._processors = config["processors"]
        self._logger = config["logger_factory"](name)
        self._is_ours = isinstance(self._logger, LineLogger)
        self._least = self.plain.get_effective_level()

    def write(
        self,
        level: str,
        event: LogEvent,
        fields: Mapping[str, object],
        harmless: Collection[str] = (),
    ) -> None:
        """
        Write a line at a level (`info`, `warning`, `error`). All fields are masked but those that
        are `harmless`: finite numbers, None, and names of our own.
        """
        maker = self._processors[0]
        if not self._is_ours or not isinstance(maker, LineMaker):
            # Not our set-up, such as in a test.
            getattr(self.plain, level)(event, **fields)
        elif _LEVELS[level] >= self._least:
            self._logger.write(maker.line(level, self._logger.name, event, fields, harmless))


_LEVELS: Final = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
