"""
Settings: where they come from, and that every fault is reported at once, by name,
without the value.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import (
    Settings,
    load_installation,
    names,
    socket_path,
)
from service.sources import SETTINGS

NEW = "new-secret-of-the-tests"
OLD = "old-secret-of-the-tests"


def load(environ: Mapping[str, str], *, cwd: Path, is_local: bool = False) -> Settings:
    """The settings of the default account."""
    return load_installation(environ, cwd=cwd, is_local=is_local).default


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    """An empty environment is a working configuration of the private Redis on the default port."""
    settings = load({}, cwd=tmp_path)
    assert (8000, 2, 96) == (settings.port, settings.settle_s.default_s, settings.dedupe_h)
    assert settings.redis_dsn.startswith("unix://")
    assert not settings.secrets_of("twilio")


def test_environment_beats_file_beats_toml(tmp_path: Path) -> None:
    """A variable counts before the file that one names, and that before the TOML file."""
    (tmp_path / "buildr-calls.toml").write_text(
        'port = 1\nhost = "a"\nlog_level = "error"\n', encoding="utf-8"
    )
    (tmp_path / "port").write_text("2\n", encoding="utf-8")
    (tmp_path / "host").write_text("b\n", encoding="utf-8")
    environ = {
        "PORT": "3",
        "PORT_FILE": str(tmp_path / "port"),
        "HOST_FILE": str(tmp_path / "host"),
    }
    settings = load(environ, cwd=tmp_path)
    assert (3, "b", "error") == (settings.port, settings.host, settings.log_level)


def test_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    """PORT= is the same as no PORT."""
    assert 8000 == load({"PORT": " "}, cwd=tmp_path).port


def test_secrets_are_lists(tmp_path: Path) -> None:
    """Several secrets, separated by commas or spaces, are all there, newest first."""
    settings = load(
        {"TWILIO_AUTH_TOKEN": f"{NEW}, {OLD}", "TWILIO_SHARED_KEYS": f"id1:{NEW}"}, cwd=tmp_path
    )
    assert (NEW, OLD) == settings.secrets_of("twilio").values
    assert {"id1": NEW} == settings.secrets_of("twilio").by_key_id


def test_all_faults_are_reported_at_once_without_values(tmp_path: Path) -> None:
    """Every wrong setting has its line, naming the variable; no line shows a secret."""
    (tmp_path / "buildr-calls.toml").write_text(
        'prot = 1\n[outcomes]\nanswered = "x"\n', encoding="utf-8"
    )
    environ = {
        "PORT": "abc",
        "DEDUPE_H": "1",
        "ADMIN_TOKEN": "hunter2",
        "BUILDR_BUDGETS": "ten",
        "PUBLIC_URL": "calls.example.com",
        "TWILIO_AUTH_TOKEN_FILE": str(tmp_path / "missing"),
        "STANDARD_SECRET": "whsec_AAAA",
        "BUILDR_CLIENT_ID": "x",
    }
    with pytest.raises(SettingsError) as caught:
        load(environ, cwd=tmp_path)
    text = "\n".join(caught.value.faults)
    for name in (
        "PORT: must be a whole number",
        "DEDUPE_H: must be at least 72",
        "ADMIN_TOKEN",
        "BUILDR_BUDGETS",
        "PUBLIC_URL",
        "TWILIO_AUTH_TOKEN_FILE",
        "STANDARD_SECRET: must be whsec_",
        "BUILDR_CLIENT_SECRET go together",
        "prot is no setting; did you mean port?",
        "outcomes.answered",
    ):
        assert name in text
    assert "hunter2" not in text


def test_secrets_do_not_show(tmp_path: Path) -> None:
    """Printing the settings shows no secret."""
    settings = load(
        {"TWILIO_AUTH_TOKEN": "hunter2hunter2hunter2", "REDIS_URL": "redis://:hunter3@h:1/0"},
        cwd=tmp_path,
    )
    assert "hunter" not in repr(settings) + str(settings) + repr(settings.secrets_of("twilio"))


def test_credentials_go_together(tmp_path: Path) -> None:
    """A client id without its secret is a fault."""
    with pytest.raises(SettingsError, match="go together"):
        load({"BUILDR_CLIENT_ID": "x"}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10/10s", [(10, 10)]),
        ("10/10", [(10, 10)]),
        ("20/10s, 2000/h 48000/day", [(20, 10), (2000, 3600), (48000, 86400)]),
        ("3/0.5s", [(3, 0.5)]),
    ],
)
def test_budgets_are_requests_per_window(
    text: str, expected: list[tuple[int, float]], tmp_path: Path
) -> None:
    """Budgets are written as people say them."""
    budgets = load({"BUILDR_BUDGETS": text}, cwd=tmp_path).buildr_budgets
    assert expected == [(budget.requests, budget.window_s) for budget in budgets]


def test_budgets_must_reach_for_two_requests(tmp_path: Path) -> None:
    """A budget of one request cannot read a call and write it, and that is reported at start."""
    with pytest.raises(SettingsError, match="BUILDR_BUDGETS"):
        load({"BUILDR_BUDGETS": "1/s"}, cwd=tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        'twilio_auth_token = [""]',
        'twilio_auth_token = " , "',
        'twilio_auth_token = [" ", ""]',
        'aircall_api_url = ""',
    ],
)
def test_blank_secret_turns_nothing_on(tmp_path: Path, line: str) -> None:
    """
    A secret that is empty would let anybody sign: it counts as none, in a list too, and a blank
    setting with a default has that.
    """
    (tmp_path / "buildr-calls.toml").write_text(f"{line}\n", encoding="utf-8")
    settings = load({}, cwd=tmp_path)
    assert not settings.secrets_of("twilio")
    assert "https://api.aircall.io/v1" == settings.api_of("aircall")["api_url"]


@pytest.mark.parametrize("name", ["TWILIO_AUTH_TOKEN", "URL_SECRET", "ADMIN_TOKEN"])
@pytest.mark.parametrize("character", ["\udcff", "\u200b", "\x07"])
def test_secret_that_cannot_be_printed_is_a_fault(
    tmp_path: Path, name: str, character: str
) -> None:
    """
    Bytes that are no UTF-8 and invisible characters that were copied along are reported at start,
    not by each message.
    """
    with pytest.raises(SettingsError) as caught:
        load({name: f"hunter2{'x' * 40}{character}"}, cwd=tmp_path)
    assert (
        f"{name}: holds characters that cannot be printed; write it again, in UTF-8",
    ) == caught.value.faults


def test_token_in_the_address_needs_a_secret_that_is_there(tmp_path: Path) -> None:
    """
    A URL_SECRET of nothing but a comma is none: without it the source's address could hold no
    token.
    """
    with pytest.raises(SettingsError, match="AIRCALL_TOKEN: needs URL_SECRET too"):
        load({"AIRCALL_TOKEN": "hunter2hunter2hunter2", "URL_SECRET": ","}, cwd=tmp_path)


def test_secret_in_the_place_of_its_file_is_not_repeated(tmp_path: Path) -> None:
    """A secret in the place of its file's name is a fault, which does not repeat it."""
    with pytest.raises(SettingsError) as caught:
        load({"TWILIO_AUTH_TOKEN_FILE": "hunter2hunter2hunter2"}, cwd=tmp_path)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(
        SettingsError,
        match="TWILIO_AUTH_TOKEN_FILE: cannot read /run/secrets/twilio-token: No such file",
    ):
        load({"TWILIO_AUTH_TOKEN_FILE": "/run/secrets/twilio-token"}, cwd=tmp_path)


def test_byte_order_mark_at_the_beginning_of_a_file_is_no_part_of_the_secret(
    tmp_path: Path,
) -> None:
    """An editor's byte order mark costs nothing."""
    (tmp_path / "token").write_text("token-from-a-file\r\n", encoding="utf-8-sig")
    assert ("token-from-a-file",) == load(
        {"TWILIO_AUTH_TOKEN_FILE": "token"}, cwd=tmp_path
    ).secrets_of("twilio").values


def test_toml_may_name_files(tmp_path: Path) -> None:
    """
    `NAME_file` in the TOML file reads a mounted file, beside the TOML file unless its path is
    absolute; a variable still wins.
    """
    (tmp_path / "token").write_text("token-from-a-file\n", encoding="utf-8")
    lines = (
        f'twilio_auth_token_file = "{tmp_path / "token"}"\n'
        'admin_token_file = "missing"\nport_file = "token"\n'
    )
    (tmp_path / "buildr-calls.toml").write_text(lines, encoding="utf-8")
    settings = load({"ADMIN_TOKEN": "given-by-the-environment", "PORT": "9000"}, cwd=tmp_path)
    assert (("token-from-a-file",), 9000) == (settings.secrets_of("twilio").values, settings.port)
    with pytest.raises(SettingsError) as caught:
        load({}, cwd=tmp_path)
    assert (
        "buildr-calls.toml: admin_token_file: cannot read missing: No such file or directory",
        "PORT: must be a whole number",
    ) == caught.value.faults


@pytest.mark.parametrize(
    "lines", ['port = 1\nport_file = "x"', 'port_file = "x"\nport = 1', "PORT = 1\nport = 2"]
)
def test_setting_given_twice_is_a_fault(tmp_path: Path, lines: str) -> None:
    """Nobody has to guess which of two counts."""
    (tmp_path / "buildr-calls.toml").write_text(lines, encoding="utf-8")
    with pytest.raises(SettingsError, match="port is given twice; keep one of port and port_file"):
        load({}, cwd=tmp_path)


def test_file_must_be_named_by_a_path(tmp_path: Path) -> None:
    """A `NAME_file` that is no text is a fault of its own."""
    (tmp_path / "buildr-calls.toml").write_text("port_file = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="port_file must be the path of a file"):
        load({}, cwd=tmp_path)


def test_local_file_fills_only_what_is_not_set(tmp_path: Path) -> None:
    """What `run` made up serves commands on the same machine, and never a setting that is there."""
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "local.toml").write_text('port = 9999\nhost = "h"\n', encoding="utf-8")
    settings = load({"PORT": "1234"}, cwd=tmp_path, is_local=True)
    assert (1234, "h") == (settings.port, settings.host)
    assert "127.0.0.1" == load({}, cwd=tmp_path).host


def test_source_that_needs_longer_settles_longer(tmp_path: Path) -> None:
    """
    A source's own time counts where it is longer than that of all, unless the setting names the
    source.
    """
    for text, seconds in (
        ("2", (2, 20)),
        ("30", (30, 30)),
        ("0", (0, 20)),
        ("2, zoom=0", (2, 0)),
        ("2, twilio=5", (5, 20)),
    ):
        settle = load({"SETTLE_S": text}, cwd=tmp_path).settle_s
        assert seconds == (settle.of("twilio"), settle.of("zoom"))


def test_socket_of_a_deep_folder_moves_to_the_temporary_one() -> None:
    """A path too long for a unix socket is replaced by a short one, the same each time."""
    deep = Path("/var") / ("x" * 120)
    assert socket_path(deep) == socket_path(deep)
    assert len(str(socket_path(deep))) < 100


def test_socket_in_the_temporary_folder_is_this_user_s_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Its folder can be named by anybody: one that others may write into, or that is none, is refused.
    """
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deep = Path("/var") / ("x" * 120)
    folder = socket_path(deep).parent
    assert 0o700 == folder.stat().st_mode & 0o777
    folder.chmod(0o770)
    with pytest.raises(SettingsError, match="this user alone"):
        socket_path(deep)
    folder.rmdir()
    folder.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(SettingsError, match="this user alone"):
        socket_path(deep)


@pytest.mark.parametrize("name", ["BUILDR_API_URL", "BUILDR_TOKEN_URL"])
def test_credentials_are_sent_by_https_alone(tmp_path: Path, name: str) -> None:
    """http:// is for a sandbox on this machine: elsewhere anybody on the way reads the token."""
    for url in ("https://api.example.test/x", "http://127.0.0.1:9000", "http://localhost:9000/x"):
        load({name: url}, cwd=tmp_path)
    with pytest.raises(SettingsError, match=f"{name}: must be https://"):
        load({name: "http://api.example.test"}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_AUTH_TOKEN", "x"),
        ("TWILIO_SHARED_KEYS", "one:x"),
        ("DIALPAD_WEBHOOK_SECRET", "x" * 15),
        ("ZOOM_SECRET_TOKEN", f"{'x' * 16},x"),
        ("BANDWIDTH_CREDENTIALS", "hookuser-of-ours:x"),
    ],
)
def test_secret_that_can_be_guessed_is_refused(tmp_path: Path, name: str, value: str) -> None:
    """Whoever has one signed message tries secrets as fast as a machine computes."""
    with pytest.raises(SettingsError, match=f"{name}: must .*characters"):
        load({name: value, "URL_SECRET": "u" * 32}, cwd=tmp_path)


def test_names_cover_every_field() -> None:
    """The list of variables that the docs are held to is complete."""
    assert {field.upper() for field in Settings.model_fields} - {
        "OUTCOME_CONFIG",
        "IS_DEFAULT",
        "NAMED",
        "OF_SOURCES",
    } | {
        "CONFIG",
        *(name.upper() for name in SETTINGS),
    } == set(names())
