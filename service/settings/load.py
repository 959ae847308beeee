"""
Settings put together and checked: all faults of all accounts in one go, by name, without a value.

A setting comes from the environment (`PORT`), from a file that the environment names
(`TWILIO_AUTH_TOKEN_FILE`, for mounted secrets), or from `buildr-calls.toml` (`port`,
`twilio_auth_token_file`), in this order. An empty variable counts as not set.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from service.errors import SettingsError
from service.settings.accounts import TABLE, Account, read_accounts
from service.settings.model import Settings
from service.settings.reading import (
    CONFIG_NAME,
    from_environment,
    from_table,
    outcome_tables,
    read_quietly,
    read_toml,
    resolve,
)
from service.settings.source_settings import read_sources
from service.sources import SETTINGS

LOCAL_NAME: Final = "local.toml"
# Those of the whole service, then those of the sources.
KNOWN: Final = (
    *(name for name, field in Settings.model_fields.items() if not field.exclude),
    *SETTINGS,
)
# pydantic's kinds of faults, in the words of somebody who has to mend them.
CURES: Final = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "string_type": "must be a text",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_pattern_mismatch": "must look like {pattern}",
}


def load(
    environ: Mapping[str, str], *, cwd: Path | None = None, is_local: bool = False
) -> Settings:
    """
    Read all settings; those of the default account come back, and hold those of the others.

    `is_local` is for commands on the machine where `run` runs: what `run` made up (demo secrets,
    the sandbox's address) fills what is not set. Raises `SettingsError` with every fault found.
    """
    faults: list[str] = []
    folder = cwd or Path.cwd()
    where, table = read_toml(environ, folder, faults)
    top = {key: value for key, value in table.items() if key != TABLE}
    values, tables = from_table(top, KNOWN, faults, where=where), outcome_tables(top)
    values.update(from_environment(environ, KNOWN))
    faults.extend(_unpaired(values))
    resolve(values, folder, faults)
    if is_local:
        data_dir = folder / Path(
            str(values.get("data_dir", Settings.model_fields["data_dir"].default))
        )
        values = read_quietly(data_dir / LOCAL_NAME) | values
    default = str(values.get("account", Settings.model_fields["account"].default))
    accounts = read_accounts(table, environ, KNOWN, faults, where=where, default=default)
    settings, found = _validate({**values, "outcome_config": tables})
    told = [fault.line for fault in found]
    faults.extend(told)
    named = [
        _of_account(account, values, tables, folder, faults, told=told) for account in accounts
    ]
    if faults or settings is None:
        raise SettingsError(tuple(faults))
    return settings.model_copy(update={"named": tuple(each for each in named if each is not None)})


def names() -> tuple[str, ...]:
    """The environment variables that are read, in the order of the docs."""
    return ("CONFIG", *(name.upper() for name in KNOWN))


def _of_account(
    account: Account,
    values: Mapping[str, object],
    tables: Mapping[str, object],
    folder: Path,
    faults: list[str],
    *,
    told: Collection[str],
) -> Settings | None:
    """
    The whole settings of an account; None with its faults, apart from those that lie at the top of
    the file and are told already.
    """
    own = _unpaired(account.values)
    resolve(account.values, folder, own)
    settings, found = _validate(account.whole(values, tables))
    own += [
        fault.line
        for fault in found
        if fault.is_of(account) or (fault.is_of_many and fault.line not in told)
    ]
    named = f"account {account.name}: "
    faults.extend(line if line.startswith(named) else named + line for line in own)
    return settings


def _unpaired(values: Mapping[str, object]) -> list[str]:
    # Looked at here, since pydantic leaves rules over several fields out while any one field is
    # wrong.
    if ("buildr_client_id" in values) != ("buildr_client_secret" in values):
        return [
            "BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET go together: set both, or BUILDR_ACCESS_TOKEN instead"
        ]
    return []


@dataclass(frozen=True, slots=True)
class _Fault:
    """
    One line, with the setting or the table of outcomes that it is about; neither where several are.
    """

    line: str
    setting: str = ""
    table: str = ""

    @property
    def is_of_many(self) -> bool:
        return not (self.setting or self.table)

    def is_of(self, account: Account) -> bool:
        """Whether an account's own words are at fault."""
        return self.setting in account.values or self.table in account.tables


def _validate(values: Mapping[str, object]) -> tuple[Settings | None, list[_Fault]]:
    faults: list[tuple[str, str]] = []
    of_sources = read_sources(values, faults)
    own = [_Fault(f"{name.upper()}: {text}", setting=name) for name, text in faults]
    whole = {name: value for name, value in values.items() if name not in SETTINGS}
    try:
        return Settings.model_validate({**whole, "of_sources": of_sources}), own
    except ValidationError as err:
        return None, [*_describe(err), *own]


def _describe(err: ValidationError) -> list[_Fault]:
    faults = []
    for fault in err.errors(include_url=False, include_input=False):
        where = [str(part) for part in fault["loc"] if part != "[key]"]
        template = CURES.get(fault["type"])
        message = (
            template.format(**fault.get("ctx", {}))
            if template
            else fault["msg"].removeprefix("Value error, ")
        )
        if where and where[0] == "outcome_config":
            line = f"{CONFIG_NAME}: {'.'.join(where[1:]) or 'outcomes'}: {message}"
            faults.append(_Fault(line, table="".join(where[1:2])))
        else:
            faults.append(
                _Fault(
                    f"{where[0].upper()}: {message}" if where else message,
                    setting="".join(where[:1]),
                )
            )
    return faults
