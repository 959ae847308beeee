"""
Values as plain JSON, for `--json` and the API.
"""

from collections.abc import Mapping

from msgspec import Struct, to_builtins


def as_plain(value: object) -> object:
    """
    A value as `json` can write it, times in ISO 8601. Raises `TypeError` for a value that JSON has
    no form for.
    """
    if isinstance(value, Struct):
        return plain_fields(value)
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_plain(item) for item in value]
    return to_builtins(value)


def plain_fields(value: Struct) -> dict[str, object]:
    """
    All fields of a struct under their stored names, also those that its stored form leaves out.
    """
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return {stored: as_plain(getattr(value, name)) for stored, name in names}
