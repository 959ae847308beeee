"""
Settings put together and checked: all faults of all accounts in one go, by name, without a value.

A setting comes from the environment (`PORT`; with `ENV_FILE` from that file first), from a file
that the environment names (`TWILIO_AUTH_TOKEN_FILE`, for mounted secrets), or from
`buildr-calls.toml` (`port`, `twilio_auth_token_file`), in this order. An empty variable counts as
not set.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from service.errors import SettingsError
from service.settings.accounts import TABLE, Account, read_accounts
from service.settings.alerts import alert_settings
from service.settings.business_hours import FOLDER
from service.settings.conditions import When
from service.settings.env_file import with_env_file
from service.settings.installation import Installation
from service.settings.model import Settings
from service.settings.outcome_tests import SampleCall
from service.settings.reading import (
    CONFIG_NAME,
    OUTCOMES,
    TESTS,
    TomlFile,
    from_environment,
    from_table,
    hint,
    outcome_tables,
    read_quietly,
    read_toml,
    resolve,
    toml_path,
)
from service.settings.source_settings import read_sources
from service.sources import SETTINGS

LOCAL_NAME: Final = "local.toml"
# Those of the whole service, then those of the sources.
KNOWN: Final = (
    *(name for name, field in Settings.model_fields.items() if not field.exclude),
    *SETTINGS,
)
# The keys of the tables in which one is easily misspelt, by the table's name.
KEYS_OF: Final[Mapping[str, Collection[str]]] = {
    "when": [name for name in When.model_fields if not name.startswith("duration_")],
    "call": tuple(SampleCall.model_fields),
}
# pydantic's types of faults, and what an operator has to write instead.
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


def load_installation(
    environ: Mapping[str, str], *, cwd: Path | None = None, is_local: bool = False
) -> Installation:
    """
    Read the settings of all accounts; files are found in `cwd`, the current folder without it.

    `is_local` is for commands on the machine where `run` runs: what `run` generated (demo secrets,
    the sandbox's address) fills what is not set. Raises `SettingsError` with every fault found.
    """
    faults: list[str] = []
    folder = cwd or Path.cwd()
    environ = with_env_file(environ, folder, faults)
    where, table = read_toml(environ, folder, faults)
    table = alert_settings(table, faults, where=where)
    top_table = {key: value for key, value in table.items() if key != TABLE}
    outcomes = outcome_tables(top_table)
    values = from_table(top_table, KNOWN, faults, where=where)
    # After the file, so that a variable wins: a deployment overrides what is checked in.
    values.update(from_environment(environ, KNOWN))
    faults.extend(_unpaired(values))
    resolve(values, folder, faults)
    if is_local:
        data_dir = folder / str(values.get("data_dir", _default_of("data_dir")))
        # The weakest of all: what an operator has set beside it counts.
        values = read_quietly(data_dir / LOCAL_NAME) | values
    default_name = str(values.get("account", _default_of("account")))
    accounts = read_accounts(table, environ, KNOWN, faults, where=where, default=default_name)
    toml_folder = toml_path(environ, folder).parent
    default, top_faults = _validate({**values, "outcome_config": outcomes}, toml_folder)
    top_lines = [fault.line for fault in top_faults]
    faults.extend(top_lines)
    others: list[Settings] = []
    for account in accounts:
        # On the account's own values: a pair of which one half is inherited is no pair.
        account_faults = _unpaired(account.values)
        resolve(account.values, folder, account_faults)
        settings, found_faults = _validate(account.whole(values, outcomes), toml_folder)
        account_faults += [fault.line for fault in found_faults if fault.is_of(account, top_lines)]
        faults.extend(_with_account(account.name, account_faults))
        if settings is not None:
            others.append(settings)
    if faults or default is None:
        raise SettingsError(tuple(faults))
    toml_file = TomlFile.of(toml_path(environ, folder))
    return Installation(default, tuple(others), toml_file)


def names() -> tuple[str, ...]:
    """The environment variables that are read, in the order of the docs."""
    return ("CONFIG", *(name.upper() for name in KNOWN))


def _default_of(name: str) -> object:
    return Settings.model_fields[name].default


def _with_account(name: str, lines: Iterable[str]) -> Iterator[str]:
    prefix = f"account {name}: "
    for line in lines:
        yield prefix + line.removeprefix(prefix)


def _unpaired(values: Mapping[str, object]) -> list[str]:
    # Checked here, since pydantic skips rules over several fields while any one field is wrong.
    faults = []
    if ("buildr_client_id" in values) != ("buildr_client_secret" in values):
        faults.append(
            "BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET go together: set both, "
            "or BUILDR_ACCESS_TOKEN instead"
        )
    if "alerts_email_to" in values and "alerts_smtp_url" not in values:
        faults.append("ALERTS_EMAIL_TO needs ALERTS_SMTP_URL, the mail server")
    return faults


class _Fault(Struct, frozen=True):
    """
    One line, with the setting or the table of outcomes that it is about; with neither if it is
    about several.
    """

    line: str
    setting: str = ""
    table: str = ""

    def is_of(self, account: Account, top_lines: Collection[str]) -> bool:
        """
        Whether an account is to be blamed, and not the top of the file, whose faults (`top_lines`)
        every account inherits.
        """
        if self.setting or self.table:
            return self.setting in account.values or self.table in account.tables
        return self.line not in top_lines


def _validate(
    values: Mapping[str, object], toml_folder: Path
) -> tuple[Settings | None, list[_Fault]]:
    faults: list[tuple[str, str]] = []
    of_sources = read_sources(values, faults)
    source_faults = [_Fault(f"{name.upper()}: {text}", setting=name) for name, text in faults]
    fields = {name: value for name, value in values.items() if name not in SETTINGS}
    try:
        settings = Settings.model_validate(
            {**fields, "of_sources": of_sources}, context={FOLDER: toml_folder}
        )
    except ValidationError as err:
        return None, [
            # Without their input: it may be a secret, and these lines go to the terminal and the
            # log.
            *map(_describe, err.errors(include_url=False, include_input=False)),
            *source_faults,
        ]
    return settings, source_faults


def _describe(details: ErrorDetails) -> _Fault:
    place = [str(part) for part in details["loc"] if part != "[key]"]
    message = _message(details)
    if not place:
        return _Fault(message)
    if place[0] == "outcome_config":
        key = ".".join(place[1:]) or "outcomes"
        if place[1:2] == [TESTS]:
            key = f"{OUTCOMES}.{key}"
        if details["type"] == "extra_forbidden":
            message += hint(place[-1], KEYS_OF.get(place[-2], ()))
        return _Fault(f"{CONFIG_NAME}: {key}: {message}", table="".join(place[1:2]))
    return _Fault(f"{place[0].upper()}: {message}", setting=place[0])


def _message(details: ErrorDetails) -> str:
    template = CURES.get(details["type"])
    if template is None:
        return details["msg"].removeprefix("Value error, ")
    return template.format(**details.get("ctx", {}))
