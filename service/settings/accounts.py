"""
The accounts of one installation: what each may set for itself, and what it has from the top of the
file.

An account is a table `[accounts.NAME]` of the TOML file; variables like
`ACCOUNT__NAME__BUILDR_CLIENT_SECRET` fill it and win over it.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.settings.reading import (
    FILE_SUFFIX,
    OUTCOME_TABLES,
    TESTS,
    from_environment,
    from_table,
    hint,
    outcome_tables,
)
from service.settings.storage import ACCOUNT_NAME
from service.sources import SETTINGS

TABLE: Final = "accounts"
# Two underscores end the name: names of accounts and of settings have single ones themselves.
PREFIX: Final = "ACCOUNT__"
SEPARATOR: Final = "__"
# One account's message must never be proved by another's secret, nor its call be written with
# another's credentials.
NEVER_INHERITED: Final = frozenset(
    {
        "buildr_client_id",
        "buildr_client_secret",
        "buildr_access_token",
        "admin_token",
        "url_secret",
        *SETTINGS,
    }
)
INHERITED: Final = frozenset(
    {
        "buildr_api_url",
        "buildr_token_url",
        "buildr_scope",
        "buildr_budgets",
        "buildr_contact_company",
        "buildr_contact_phones",
        "buildr_contact_project",
        "buildr_contacts_key",
        "buildr_contacts_path",
        "buildr_timeout_s",
        "max_pending",
        "dedupe_h",
        "keep_messages_d",
        "keep_failed_d",
        "keep_calls_d",
        "keep_links_d",
        "keep_open_d",
        "settle_s",
        "newest_first_above",
        "protect_hand_edits",
        "redis_durability",
        "redis_url",
        "redis_wait",
        "own_numbers",
        "default_region",
        "ambiguous_match",
        "expected_call_h",
        "dialler",
        "dial_id_pattern",
        "ringing_timeout_s",
        "in_progress_timeout_s",
        "max_attempts",
        "max_age_h",
        "worker_jobs",
    }
)
PER_ACCOUNT: Final = NEVER_INHERITED | INHERITED


@dataclass(frozen=True, slots=True)
class Account:
    """What one account sets for itself: settings, and tables of outcomes."""

    name: str
    values: dict[str, object] = field(repr=False)
    tables: dict[str, object]

    def whole(
        self, values: Mapping[str, object], tables: Mapping[str, object]
    ) -> dict[str, object]:
        """
        All values of the account, given those at the top of the file: its own, and what it has from
        there.
        """
        inherited = {name: value for name, value in values.items() if name not in NEVER_INHERITED}
        # Sample calls try the map of the account in which they are written.
        inherited_tables = {name: table for name, table in tables.items() if name != TESTS}
        return {
            **inherited,
            **self.values,
            "account": self.name,
            "is_default": False,
            "outcome_config": {**inherited_tables, **self.tables},
        }


def read_accounts(
    table: Mapping[str, object],
    environ: Mapping[str, str],
    names: Iterable[str],
    faults: list[str],
    *,
    where: str,
    default: str,
) -> list[Account]:
    """
    The accounts of the file, in its order; `names` are those of all settings, `default` is the name
    of the account that needs no table.
    """
    above = frozenset(names) - PER_ACCOUNT
    account_tables = table.get(TABLE, {})
    if not isinstance(account_tables, dict):
        faults.append(f"{where}: {TABLE} must be tables, like [{TABLE}.acme]")
        account_tables = {}
    accounts: dict[str, Account] = {}
    for name, account_table in account_tables.items():
        fault = _name_fault(name, account_table, default=default, others=accounts)
        if fault is not None:
            faults.append(f"{where}: {TABLE}.{name} {fault}")
            continue
        values = from_table(
            account_table, PER_ACCOUNT, faults, where=f"account {name}", above=above
        )
        prefix = f"{PREFIX}{_upper(name)}{SEPARATOR}"
        values.update(from_environment(environ, sorted(PER_ACCOUNT), prefix=prefix))
        accounts[name] = Account(name, values, outcome_tables(account_table))
    # Those with a fault count as well: their variables are not to be reported as unknown.
    names_by_upper = {_upper(name): name for name in account_tables}
    faults.extend(_stray_variables(environ, names_by_upper, above, default=default))
    return list(accounts.values())


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _name_fault(name: str, table: object, *, default: str, others: Iterable[str]) -> str | None:
    if not isinstance(table, dict):
        return f"must be a table, like [{TABLE}.acme]"
    if not re.fullmatch(ACCOUNT_NAME, name):
        return "is no name of an account; use lower-case letters, digits, _ and -, at most 40"
    if name == default:
        return (
            "is the name of the default account (ACCOUNT), whose settings stand at the top of the "
            "file; choose another"
        )
    if twin := next((other for other in others if _upper(other) == _upper(name)), None):
        return (
            f"and {TABLE}.{twin} would both be {PREFIX}{_upper(name)}{SEPARATOR}... in the "
            "environment; rename one"
        )
    return None


def _stray_variables(
    environ: Mapping[str, str], names: Mapping[str, str], above: Collection[str], *, default: str
) -> list[str]:
    """A line for each variable of an account that nothing would read."""
    faults = []
    for variable in sorted(
        name for name, text in environ.items() if name.startswith(PREFIX) and text.strip()
    ):
        account, _, setting = variable.removeprefix(PREFIX).rpartition(SEPARATOR)
        base = setting.lower().removesuffix(FILE_SUFFIX)
        if account not in names:
            faults.append(f"{variable}: {_unknown(account, setting, names, default=default)}")
        elif base in above:
            faults.append(
                f"account {names[account]}: {variable}: {base.upper()} belongs above all accounts; "
                f"set {base.upper()} itself"
            )
        elif base in OUTCOME_TABLES:
            faults.append(
                f"account {names[account]}: {variable}: outcomes stand in the file, in "
                f"[{TABLE}.{names[account]}.{base}]"
            )
        elif base not in PER_ACCOUNT:
            near = hint(base.upper(), [name.upper() for name in PER_ACCOUNT])
            faults.append(
                f"account {names[account]}: {variable}: {setting} is no setting of an account{near}"
            )
    return faults


def _unknown(account: str, setting: str, names: Mapping[str, str], *, default: str) -> str:
    if not (account and setting):
        return (
            f"write {PREFIX}NAME{SEPARATOR}SETTING, like "
            f"{PREFIX}ACME{SEPARATOR}BUILDR_CLIENT_SECRET"
        )
    if account == _upper(default):
        return f"{default} is the default account; set {setting} itself"
    near = (
        hint(account, list(names))
        or f"; an account needs a table in the file, like [{TABLE}.{account.lower()}]"
    )
    return f"there is no account {account}{near}"
