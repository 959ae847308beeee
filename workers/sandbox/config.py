"""
How a sandbox is set up.
"""

from dataclasses import dataclass, field
from typing import Final

from service.settings import Budget
from workers.sandbox.rate_limit import Mode

# Fixed and public: the sandbox guards nothing, and a demo has to know them.
CLIENT_ID: Final = "sandbox-client"
CLIENT_SECRET: Final = "sandbox-secret"
READY_TOKEN: Final = "sandbox-token"
DEFAULT_BUDGETS: Final = (Budget(requests=10, window_s=10),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """
    What the sandbox asks for and holds to.

    A token is bought with `client_id` and `client_secret`, and is good for `token_life_s` seconds;
    `ready_token` is one that always is, None for none.
    `limit_mode` says in which reading the budgets hold: `window` (never more in any window),
    `bucket` (leaky), `both`, `off`. Without `says_wait` a 429 lacks `X-Rate-Limited-For`; with
    `is_beta` answers have the beta version's form. With `auto_create` a PATCH of an unknown call
    makes that call. `more_outcomes` are names of outcomes beside those that it has anyway, or
    `ID=NAME`, as `outcomes_with` reads them.
    """

    client_id: str = CLIENT_ID
    client_secret: str = field(default=CLIENT_SECRET, repr=False)
    ready_token: str | None = field(default=READY_TOKEN, repr=False)
    token_life_s: int = 3600
    budgets: tuple[Budget, ...] = DEFAULT_BUDGETS
    # The strictest by default, since Buildr does not document which one it is.
    limit_mode: Mode = "both"
    says_wait: bool = True
    is_beta: bool = False
    auto_create: bool = False
    more_outcomes: tuple[str, ...] = ()
