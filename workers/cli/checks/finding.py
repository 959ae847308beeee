"""
The result of one check of `buildr-calls check`.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from service.settings import Settings


class Finding(Struct, frozen=True):
    """
    The result of one check; `detail` is what to do where `is_fine` is false.

    `account` is set where several accounts are checked. `is_warning`: it works, and an operator
    should know it.
    """

    name: str
    is_fine: bool
    detail: str
    account: str | None = None
    is_warning: bool = False

    @property
    def title(self) -> str:
        """The name of the check, with the account where there are several."""
        if self.account is None:
            return self.name
        return f"{self.account}: {self.name}"

    @property
    def verdict(self) -> tuple[str, str]:
        """The word at the start of its line, and its style."""
        if not self.is_fine:
            return "FAIL", "red"
        if self.is_warning:
            return "WARN", "yellow"
        return "ok", "green"

    def as_dict(self) -> dict[str, object]:
        """For JSON, with the keys what, is_fine, is_warning, detail, account."""
        return {
            "what": self.name,
            "is_fine": self.is_fine,
            "is_warning": self.is_warning,
            "detail": self.detail,
            "account": self.account,
        }


def of_account(account: Settings, finding: Finding, accounts: Sequence[Settings]) -> Finding:
    """The finding with its account's name, if several accounts are checked."""
    if len(accounts) == 1:
        return finding
    return replace(finding, account=account.account)
