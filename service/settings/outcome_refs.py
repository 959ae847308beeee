"""
How a call outcome of Buildr is written in `buildr-calls.toml`: by its name, or by its id.
"""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from service.buildr_ids import PATTERN, is_all_digits
from service.settings.toml_values import StrictTable


class OutcomeRef(StrictTable):
    """A Buildr call outcome, by its name in the account or by its id (digits)."""

    name: str | None = None
    id: str | None = Field(default=None, pattern=PATTERN)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.name is None) == (self.id is None):
            raise ValueError('give either a name or an id, like "Connected" or {id = "786"}')
        return self

    def __str__(self) -> str:
        if self.name is None:
            return f"id {self.id}"
        return self.name


def _read_ref(value: object) -> object:
    if value is None or value is False or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return {"id": str(value)}
    if isinstance(value, str):
        text = value.strip()
        if is_all_digits(text):
            return {"id": text}
        return {"name": text}
    return value


MaybeOutcome = Annotated[OutcomeRef | None, BeforeValidator(_read_ref)]
