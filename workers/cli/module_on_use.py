"""
Libraries that import what nothing here needs: a module that is loaded when something of it is used,
and modules that are loaded as if an extra of theirs were not installed.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Final, cast

# structlog would import them for tracebacks in colours, httpx for a command of its own.
PRINTERS: Final = ("pygments", "rich")


class ModuleOnUse(ModuleType):
    """
    Stands for a module in `sys.modules`. Python's own `LazyLoader` would not do: before 3.12 a
    second `import` statement already loads the module.
    """

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        try:
            module = import_module(self.__name__)
        except ImportError as err:
            raise AttributeError(f"{self.__name__} cannot be imported") from err
        value: object = getattr(module, name)
        return value


def load_on_use(name: str) -> None:
    """Have a module loaded on its first use; nothing if it is loaded already."""
    if name not in sys.modules:
        sys.modules[name] = ModuleOnUse(name)


@contextmanager
def without(*extras: str) -> Iterator[None]:
    """
    Import modules as if extras of theirs were not installed; these can be imported afterwards. One
    that is loaded already stays.
    """
    hidden = [extra for extra in extras if extra not in sys.modules]
    for extra in hidden:
        # Python's own sign for a module that cannot be imported.
        sys.modules[extra] = cast("ModuleType", None)
    try:
        yield
    finally:
        for extra in hidden:
            del sys.modules[extra]
