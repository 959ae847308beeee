"""
Frozen dataclasses that are made and copied in less than half of the usual time.

A frozen dataclass sets each field by a call of `object.__setattr__`. Of a class with many fields
that was the largest part of reading a webhook. Here a twin of it, which has the same slots and is
not frozen, sets them directly; then the object becomes one of the frozen class.
"""

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields, make_dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

T = TypeVar("T")
_set_class: Final = object.__setattr__


@dataclass(frozen=True, slots=True)
class _Twins:
    """
    Both have the slots of a class: an object of theirs can become one of it. `filled` takes a value
    for each field, in order.
    """

    read_all: Callable[[Any], tuple[object, ...]]
    filled: Callable[..., Any]


_TWINS: Final[dict[type, _Twins]] = {}


def quick(cls: type[T]) -> type[T]:
    """
    A decorator above `@dataclass(frozen=True, slots=True, kw_only=True)`: its objects are made
    quickly, and `replace` of this module copies them quickly. Not for classes with a
    `__post_init__`.
    """
    class_fields = fields(cast("Any", cls))
    names = [class_field.name for class_field in class_fields]
    with_defaults = [(item.name, object, _with_default(item)) for item in class_fields]
    draft = make_dataclass(f"{cls.__name__}Draft", with_defaults, slots=True, kw_only=True)
    filled = make_dataclass(f"{cls.__name__}Copy", names, slots=True)
    set_fields: Callable[..., None] = vars(draft)["__init__"]

    def set_all(self: object, /, **values: object) -> None:
        _set_class(self, "__class__", draft)
        set_fields(self, **values)
        self.__class__ = cls

    cast("Any", cls).__init__ = set_all
    _TWINS[cls] = _Twins(attrgetter(*names), filled)
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
        twins = _TWINS.get(cls)
        if twins is None:
            raise TypeError(f"{cls.__name__} is not a quick dataclass")
        copy = twins.filled(*twins.read_all(source))
        try:
            for name, value in changes.items():
                setattr(copy, name, value)
        except AttributeError as err:
            raise TypeError(f"{cls.__name__} has no field {name}") from err
        copy.__class__ = cls
        return copy


def _with_default(item: "Field[Any]") -> Any:
    return field(default=item.default, default_factory=cast("Any", item.default_factory))
