"""
The log of commands, set up once there is an error to show: structlog takes longer to load than most
commands take for their work, see decision 46.
"""

import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

STRUCTLOG: Final = "structlog"


def configure_on_first_error(configure: Callable[[], None]) -> None:
    """
    Call `configure` before the first error is logged, by structlog or by the standard library's
    logging; at once if structlog is there already. What is less than an error is dropped.
    """
    if STRUCTLOG in sys.modules:
        configure()
        return
    sys.meta_path.insert(0, _Finder(STRUCTLOG, partial(_Loader, configure=configure)))
    # `configure` replaces this handler.
    logging.getLogger().addHandler(_FirstError(configure))


class _Finder(MetaPathFinder):
    """Finds one module as Python does, once, with a loader around its own."""

    def __init__(self, name: str, wrap: Callable[[Loader], Loader]) -> None:
        self._name = name
        self._wrap = wrap

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002 - the protocol's
    ) -> ModuleSpec | None:
        """The spec of the module; None for every other one."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = self._wrap(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, configure: Callable[[], None]) -> None:
        self._loader = loader
        self._configure = configure

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader itself does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Load structlog, and let its first error configure it."""
        self._loader.exec_module(module)

        # Not at once: the module that configures it may be the one that imports it just now.
        def first_error(_: object, method: str, event: dict[str, object]) -> dict[str, object]:
            self._configure()
            getattr(module.get_logger(), method)(**event)
            raise module.DropEvent

        module.configure(
            processors=[first_error],
            wrapper_class=module.make_filtering_bound_logger(logging.ERROR),
            cache_logger_on_first_use=False,
        )


class _FirstError(logging.Handler):
    """Configures the log when there is something to show, and hands the record on to it."""

    def __init__(self, configure: Callable[[], None]) -> None:
        super().__init__(logging.ERROR)
        self._configure = configure

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record, by the handler that takes the place of this one."""
        logging.getLogger().removeHandler(self)
        self._configure()
        logging.getLogger().handle(record)
