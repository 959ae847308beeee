"""
The constants that the Lua scripts share with Python, written as Lua.

In Lua the fields of `StorePolicy` and `RateLimitPolicy` are locals in capitals: `ahead_ms` is
`AHEAD_MS`. Enums are tables: `DeliveryState.OPEN` is `STATE.OPEN`, and `LANES` lists the lanes, the
most urgent first.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Final

from msgspec.structs import asdict

from service.errors import FailureCause
from service.store.delivery_state import DeliveryState
from service.store.policy import HOUR_MS, StorePolicy
from service.store.rate_limit.grants import UNKNOWN_CALLS, HealthSignal
from service.store.rate_limit.lanes import LANES, Lane
from service.store.rate_limit.policy import RateLimitPolicy

# A word of a comment must not bring in a constant.
_COMMENT: Final = re.compile(r"--[^\n]*")


@cache
def lua_constants() -> Mapping[str, str]:
    """Every constant as a Lua expression, by its name in the scripts."""
    numbers = {"hour_ms": HOUR_MS, **asdict(StorePolicy()), **asdict(RateLimitPolicy())}
    return {
        "LANES": f"{{{', '.join(_quoted(lane) for lane in LANES)}}}",
        "LANE": _table(Lane),
        "STATE": _table(DeliveryState),
        "SIGNAL": _table(HealthSignal),
        "UNAUTHORIZED": _quoted(FailureCause.BUILDR_UNAUTHORIZED),
        "RATE_LIMITED": _quoted(FailureCause.BUILDR_RATE_LIMITED),
        "UNKNOWN_CALLS": f"'{UNKNOWN_CALLS}'",
        **{name.upper(): str(value) for name, value in numbers.items()},
    }


def constants_of(script: str) -> str:
    """
    Lua lines that define the constants which a script names outside comments.

    The others are left out, since a script makes its tables anew at each run.
    """
    names = set(re.findall(r"\w+", _COMMENT.sub("", script)))
    constants = lua_constants()
    return "".join(f"local {name} = {constants[name]}\n" for name in constants if name in names)


def _table(enum: type[StrEnum]) -> str:
    return f"{{{', '.join(f'{member.name} = {_quoted(member)}' for member in enum)}}}"


def _quoted(member: StrEnum) -> str:
    # The values are plain words, which need no escape in Lua.
    return f"'{member.value}'"
