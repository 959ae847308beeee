"""
One rule for ids in Buildr, the same for a check in code and for one by pydantic.
"""

import pytest
from pydantic import TypeAdapter, ValidationError

from service.buildr_ids import (
    BuildrCallId,
    BuildrId,
    is_all_digits,
    is_buildr_call_id,
    is_buildr_id,
)

VALID = ("110", "0", "0110", "9" * 20)
INVALID = ("", " 110", "110\n", "-1", "1.5", "x", "\u0663", "\u00b2", "9" * 21)


@pytest.mark.parametrize("text", VALID)
def test_digits_are_an_id(text: str) -> None:
    """1 to 20 digits are an id, leading zeros included, and stay the text that they are."""
    assert is_buildr_id(text)
    assert text == TypeAdapter[str](BuildrId).validate_python(text)


@pytest.mark.parametrize("text", INVALID)
def test_anything_else_is_no_id(text: str) -> None:
    """Blanks, signs, digits of other scripts and more than 20 digits are no id."""
    assert not is_buildr_id(text)
    with pytest.raises(ValidationError):
        TypeAdapter[str](BuildrId).validate_python(text)


@pytest.mark.parametrize("text", [*VALID, *INVALID])
def test_id_of_a_call_has_no_leading_zero(text: str) -> None:
    """One call in Buildr has one name here."""
    is_call_id = text in VALID and text != "0110"
    assert is_call_id == is_buildr_call_id(text)
    if is_call_id:
        TypeAdapter[str](BuildrCallId).validate_python(text)
    else:
        with pytest.raises(ValidationError):
            TypeAdapter[str](BuildrCallId).validate_python(text)


def test_too_many_digits_are_still_digits() -> None:
    """An id that is too long is not taken for a name."""
    assert is_all_digits("9" * 21)
    assert not is_all_digits("Connected 2")
