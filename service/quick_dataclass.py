"""
Frozen dataclasses that are made and copied in less than half of the usual time.

A frozen dataclass sets each field by a call of `object.__setattr__`. Of a class with many fields
that was the largest part of reading a webhook. Here a twin of it, which has the same slots and is
not frozen, sets them directly; then the object becomes one of the frozen class.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, make_dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

T = TypeVar("T")
# What is compiled for a class, one line for each of its fields: `dataclasses` writes such functions
# too, and a loop over the names takes three times as long.
INIT: Final = """
def set_all(self, /, *, {parameters}):
    set_class(self, "__class__", draft)
    {assignments}
    self.__class__ = cls
"""
COPY: Final = """
def copy(source):
    new = create(draft)
    {assignments}
    return new
"""


@dataclass(frozen=True, slots=True)
class _Twin:
    """`copy` makes an object of the twin with all that the given one holds."""

    copy: Callable[[Any], Any]


_TWINS: Final[dict[type, _Twin]] = {}


def quick(cls: type[T]) -> type[T]:
    """
    A decorator above `@dataclass(frozen=True, slots=True, kw_only=True)`: its objects are made
    quickly, and `replace` of this module copies them quickly. Not for classes with a
    `__post_init__`.
    """
    class_fields = fields(cast("Any", cls))
    names = [item.name for item in class_fields]
    scope: dict[str, Any] = {
        "cls": cls,
        "draft": make_dataclass(f"{cls.__name__}Draft", names, slots=True),
        "create": object.__new__,
        "set_class": object.__setattr__,
        "absent": MISSING,
        "defaults": {item.name: item.default for item in class_fields},
        "factories": {item.name: item.default_factory for item in class_fields},
    }
    parameters = ", ".join(map(_parameter, class_fields))
    assignments = map(_assignment, class_fields)
    exec(INIT.format(parameters=parameters, assignments="\n    ".join(assignments)), scope)
    copies = (f"new.{name} = source.{name}" for name in names)
    exec(COPY.format(assignments="\n    ".join(copies)), scope)
    cast("Any", cls).__init__ = scope["set_all"]
    _TWINS[cls] = _Twin(scope["copy"])
    return cls


if TYPE_CHECKING:
    # For type checkers it is the function of `dataclasses`, whose arguments they know.
    from dataclasses import replace as replace
else:

    def replace(source: T, /, **changes: object) -> T:
        """
        A copy with these fields changed: `dataclasses.replace` for classes that are `quick`. Raises
        `TypeError` for another class or a field that it does not have.
        """
        cls = type(source)
        twin = _TWINS.get(cls)
        if twin is None:
            raise TypeError(f"{cls.__name__} is not a quick dataclass")
        copy = twin.copy(source)
        try:
            for name, value in changes.items():
                setattr(copy, name, value)
        except AttributeError as err:
            raise TypeError(f"{cls.__name__} has no field {name}") from err
        copy.__class__ = cls
        return copy


def _parameter(item: "Field[Any]") -> str:
    if item.default is not MISSING:
        return f"{item.name}=defaults[{item.name!r}]"
    if item.default_factory is not MISSING:
        return f"{item.name}=absent"
    return item.name


def _assignment(item: "Field[Any]") -> str:
    if item.default_factory is MISSING:
        return f"self.{item.name} = {item.name}"
    made = f"factories[{item.name!r}]()"
    return f"self.{item.name} = {made} if {item.name} is absent else {item.name}"
