"""
Several accounts in one installation: what each has from the top of the file, what never, and that
no fault of any is missed.
"""

import re
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.events import Result
from service.settings import (
    PER_ACCOUNT,
    Settings,
    load_installation,
    names,
)
from service.settings.accounts import INHERITED, NEVER_INHERITED
from service.sources import SETTINGS

ROOT = Path(__file__).parents[3]
TOP = """
settle_s = "3"
buildr_budgets = "20/10s"
buildr_client_id = "id-of-all"
buildr_client_secret = "secret-of-all"
twilio_auth_token = "token-of-all-accounts"
admin_token = "admin-token-of-all-accounts"
recorded_at = "end"
[outcomes]
connected = "Spoke"
busy = "Engaged"
[notes]
mode = "append"
"""
ACME = """
[accounts.acme]
buildr_access_token = "secret-of-acme"
standard_secret = "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw=="
[accounts.acme.outcomes]
connected = "Reached"
"""


def write(folder: Path, text: str) -> Path:
    """Put a TOML file where the settings look for it."""
    (folder / "buildr-calls.toml").write_text(text, encoding="utf-8")
    return folder


def faults_of(folder: Path, text: str, **environ: str) -> tuple[str, ...]:
    """The faults that a TOML file and an environment have."""
    with pytest.raises(SettingsError) as caught:
        load_installation(environ, cwd=write(folder, text))
    return caught.value.faults


def outcome(settings: Settings, result: Result) -> str:
    """What the file says of a result, or nothing."""
    return str(settings.outcome_config.outcomes.get(result, ""))


def test_one_account_is_the_default_one(tmp_path: Path) -> None:
    """Without tables there is one account, as ever, also while nothing is set up."""
    installation = load_installation({}, cwd=tmp_path)
    assert (installation.default,) == installation.accounts
    assert installation.default is installation.account("default")
    assert (True, None) == (installation.default.is_default, installation.default.path_account)


def test_accounts_inherit_all_but_what_proves_and_opens(tmp_path: Path) -> None:
    """
    Credentials, source secrets and admin tokens are each account's own; everything else comes from
    the top unless it is given.
    """
    installation = load_installation({}, cwd=write(tmp_path, TOP + ACME))
    default, acme = installation.accounts
    assert ("default", "acme") == (default.account, acme.account)
    assert (3, 20) == (acme.settle_s.default_s, acme.buildr_budgets[0].requests)
    assert (None, None, ()) == (acme.buildr_client_id, acme.buildr_client_secret, acme.admin_token)
    assert not acme.secrets_of("twilio")
    assert acme.secrets_of("standard")
    assert not default.secrets_of("standard")
    assert (False, "acme") == (acme.is_default, acme.path_account)


def test_outcome_tables_are_inherited_whole(tmp_path: Path) -> None:
    """
    A table that an account gives takes the place of the one at the top; the others it has from
    there.
    """
    default, acme = load_installation({}, cwd=write(tmp_path, TOP + ACME)).accounts
    assert ("Spoke", "Engaged") == (
        outcome(default, Result.CONNECTED),
        outcome(default, Result.BUSY),
    )
    assert ("Reached", "") == (outcome(acme, Result.CONNECTED), outcome(acme, Result.BUSY))
    assert ("append", "end") == (acme.outcome_config.notes.mode, acme.outcome_config.recorded_at)


def test_environment_fills_an_account_and_wins(tmp_path: Path) -> None:
    """
    ACCOUNT__NAME__SETTING counts before the file that one names, and that before the table; a dash
    is an underscore there.
    """
    (tmp_path / "secret").write_text("token-from-a-file\n", encoding="utf-8")
    text = (
        '[accounts.a-b]\nbuildr_access_token = "from-toml"\nworker_jobs = 3\n'
        'twilio_auth_token_file = "secret"\n'
    )
    environ = {
        "ACCOUNT__A_B__BUILDR_ACCESS_TOKEN": "from-environment",
        "ACCOUNT__A_B__WORKER_JOBS_FILE": str(tmp_path / "jobs"),
        "ACCOUNT__A_B__SETTLE_S": " ",
    }
    (tmp_path / "jobs").write_text("4", encoding="utf-8")
    account = load_installation(environ, cwd=write(tmp_path, text)).account("a-b")
    assert account.buildr_access_token is not None
    assert "from-environment" == account.buildr_access_token.get_secret_value()
    assert (4, ("token-from-a-file",), 2) == (
        account.worker_jobs,
        account.secrets_of("twilio").values,
        account.settle_s.default_s,
    )


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["acme"]),
        ({"TWILIO_AUTH_TOKEN": "fake-token-of-the-tests"}, ["default", "acme"]),
        ({"BUILDR_ACCESS_TOKEN": "t"}, ["default", "acme"]),
        ({"ACCOUNT": "main", "BUILDR_ACCESS_TOKEN": "t"}, ["main", "acme"]),
    ],
)
def test_default_account_is_inactive_where_only_others_are_set_up(
    tmp_path: Path, environ: dict[str, str], expected: list[str]
) -> None:
    """
    The default account is there as soon as it has a secret or credentials, under the name that
    ACCOUNT gives it.
    """
    installation = load_installation(environ, cwd=write(tmp_path, ACME))
    assert expected == [account.account for account in installation.accounts]
    assert [True] * (len(expected) - 1) + [False] == [
        account.is_default for account in installation.accounts
    ]


def test_unknown_account_lists_those_there_are(tmp_path: Path) -> None:
    """Whoever asks for an account that is not there hears which are."""
    installation = load_installation({}, cwd=write(tmp_path, TOP + ACME))
    assert "acme" == installation.account("acme").account
    with pytest.raises(SettingsError, match=r"^there is no account acm: there is default, acme$"):
        installation.account("acm")


def test_a_named_account_knows_of_no_other(tmp_path: Path) -> None:
    """Whoever is handed the settings of a named account works for that one alone."""
    installation = load_installation({}, cwd=write(tmp_path, TOP + ACME))
    narrowed = installation.narrowed_to("acme")
    acme = installation.account("acme")
    assert (acme,) == narrowed.accounts
    with pytest.raises(SettingsError):
        narrowed.account("default")


def test_secrets_of_accounts_do_not_show(tmp_path: Path) -> None:
    """Printing the settings shows no secret of any account."""
    installation = load_installation(
        {"ACCOUNT__ACME__TWILIO_AUTH_TOKEN": "secret-twilio-of-the-tests"},
        cwd=write(tmp_path, TOP + ACME),
    )
    printed = repr(installation) + str(installation.accounts) + repr(installation.account("acme"))
    assert not [
        secret
        for secret in ("secret-of-acme", "secret-twilio-of-the-tests", "secret-of-all", "whsec_")
        if secret in printed
    ]


def test_all_faults_of_all_accounts_are_reported_at_once(tmp_path: Path) -> None:
    """Every account's faults are named with it, a fault at the top once, and no value is shown."""
    text = (
        'port = "hundred"\nsettle_s = "soon"\n'
        '[accounts.acme]\nbuildr_client_id = "hunter2"\nadmin_token = "hunter3"\n'
        'redis_url = "redis://x"\nsetle_s = 1\nfoo = 1\n'
        '[accounts.acme.outcomes]\nanswered = "x"\n'
        '[accounts.beta]\nmax_pending = 0\nbuildr_access_token_file = "missing"\n'
        "[accounts.fine]\n"
    )
    environ = {
        "ACCOUNT__BETA__PORT": "1",
        "ACCOUNT__BETA__WORKER_JOB": "1",
        "ACCOUNT__BETTA__WORKER_JOBS": "1",
    }
    faults = faults_of(tmp_path, text, **environ)
    expected = {
        "PORT: must be a whole number",
        "SETTLE_S: must be a number",
        "account acme: setle_s is no setting; did you mean settle_s?",
        "account acme: foo is no setting",
        (
            "account acme: BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET go together: set both, or "
            "BUILDR_ACCESS_TOKEN instead"
        ),
        (
            "account acme: ADMIN_TOKEN: must be at least 16 characters; make one with: openssl "
            "rand -hex 32"
        ),
        "account beta: MAX_PENDING: must be at least 1",
        "account beta: buildr_access_token_file: cannot read missing: No such file or directory",
        "account beta: ACCOUNT__BETA__PORT: PORT belongs above all accounts; set PORT itself",
        (
            "account beta: ACCOUNT__BETA__WORKER_JOB: WORKER_JOB is no setting of an account; did "
            "you mean WORKER_JOBS?"
        ),
        "ACCOUNT__BETTA__WORKER_JOBS: there is no account BETTA; did you mean BETA?",
    }
    assert expected <= set(faults)
    (rest,) = set(faults) - expected
    assert rest.startswith("account acme: buildr-calls.toml: outcomes.answered: ")
    assert len(set(faults)) == len(faults)
    assert "hunter" not in str(faults)


def test_fault_is_reported_where_it_is_made(tmp_path: Path) -> None:
    """
    A budget that does not reach for a call is the fault of the account that sets it, or of the top
    once.
    """
    (fault,) = faults_of(tmp_path, '[accounts.acme]\nbuildr_budgets = "1/s"\n[accounts.beta]\n')
    assert fault.startswith("account acme: BUILDR_BUDGETS: every budget must allow at least 2")
    (fault,) = faults_of(tmp_path, 'buildr_budgets = "1/s"\n[accounts.acme]\n')
    assert fault.startswith("BUILDR_BUDGETS: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[accounts.Acme]", "accounts.Acme is no name of an account; use lower-case letters"),
        ('[accounts."a b"]', "accounts.a b is no name of an account"),
        ("[accounts.default]", "accounts.default is the name of the default account (ACCOUNT)"),
        (
            "[accounts.a-b]\n[accounts.a_b]",
            "accounts.a_b and accounts.a-b would both be ACCOUNT__A_B__...",
        ),
        ("accounts = 3", "accounts must be tables, like [accounts.acme]"),
        ("[accounts]\nacme = 3", "accounts.acme must be a table"),
        ("[account.acme]", "[account.acme] is no table; did you mean [accounts.acme]?"),
    ],
)
def test_wrong_names_of_accounts_are_faults(tmp_path: Path, text: str, reason: str) -> None:
    """What cannot be an account says why; there is no other fault."""
    faults = faults_of(tmp_path, text)
    assert 1 == len(faults)
    assert reason in faults[0]


def test_name_of_the_default_account_follows_its_setting(tmp_path: Path) -> None:
    """With another ACCOUNT the name `default` is free, and the other one taken."""
    text = '[accounts.default]\nbuildr_access_token = "t"\n'
    assert (
        "default"
        == load_installation({"ACCOUNT": "main"}, cwd=write(tmp_path, text)).others[0].account
    )
    (fault,) = faults_of(tmp_path, "[accounts.main]", ACCOUNT="main")
    assert "accounts.main is the name of the default account" in fault


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "ACCOUNT__ACME__TWILIO_AUTH_TOKEN",
            "there is no account ACME; an account needs a table in the file, like [accounts.acme]",
        ),
        (
            "ACCOUNT__DEFAULT__TWILIO_AUTH_TOKEN",
            "default is the default account; set TWILIO_AUTH_TOKEN itself",
        ),
        (
            "ACCOUNT__TWILIO_AUTH_TOKEN",
            "write ACCOUNT__NAME__SETTING, like ACCOUNT__ACME__BUILDR_CLIENT_SECRET",
        ),
        ("ACCOUNT__WELL__OUTCOMES", "outcomes stand in the file, in [accounts.well.outcomes]"),
    ],
)
def test_variables_that_nothing_reads_are_faults(tmp_path: Path, name: str, reason: str) -> None:
    """
    A variable that looks like an account's is never passed over in silence; its value is not shown.
    """
    (fault,) = faults_of(tmp_path, "[accounts.well]", **{name: "hunter2"})
    assert reason in fault
    assert "hunter2" not in fault


def test_settings_of_accounts_are_settings() -> None:
    """
    What may stand in an account's table exists, holds every source's secrets, and leaves out what
    one process has once.
    """
    all_names = {name.lower() for name in names()}
    assert all_names > PER_ACCOUNT > SETTINGS.keys()
    assert not PER_ACCOUNT & {
        "host",
        "port",
        "public_url",
        "data_dir",
        "account",
        "log_format",
        "log_level",
        "config",
    }


def test_page_lists_what_an_account_may_set() -> None:
    """docs/accounts.md says of each setting whether an account has it from the top of the file."""
    rows = [
        line
        for line in (ROOT / "docs" / "accounts.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    never, unless = (
        set(re.findall(r"`(\w+)`", row))
        for row in rows
        if row.startswith(("| its own always", "| from the top unless"))
    )
    assert (set(NEVER_INHERITED - SETTINGS.keys()), set(INHERITED)) == (never, unless)
