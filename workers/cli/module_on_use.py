"""
A module that is loaded when something of it is used, for libraries that import what nothing here
needs.
"""

import sys
from importlib import import_module
from types import ModuleType


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
