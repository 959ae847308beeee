"""
`init`: files that load, secrets that are not shown, and addresses as `link-url` prints them.
"""

import errno
import re
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.settings import Settings, load_installation
from service.sources import SOURCES
from workers.cli.failure import Failure
from workers.cli.init_files import write_private
from workers.cli.init_guides import EXAMPLE_CALL, outcome_file, read_guide
from workers.cli.init_values import has_password, with_password
from workers.cli.link_url import webhook_address
from workers.cli.main import cli

ROOT = Path(__file__).parents[3]
PUBLIC_URL = "https://calls.example.com"
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
# Names of events, fields and settings of vendors in a guide.
VENDOR_NAMES = re.compile(r"\b(?:call|phone)\.[a-z_.]+[a-z]|\b[a-z]+[A-Z]\w+|\b[a-z]+_[a-z_]+\b")
OUR_NAMES = {"buildr_call_id", "env_file", "call_address"}
Init = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def init(folder: Path) -> Init:
    """Run `init`, with variables and what the operator types."""

    def invoke(*arguments: str, code: int = 0, typed: str = "", **variables: str) -> Result:
        assert folder == Path.cwd()
        result = CliRunner().invoke(cli, ["init", *arguments], input=typed, env=variables)
        assert code == result.exit_code, result.output + str(result.exception)
        return result

    return invoke


def settings_in(folder: Path) -> Settings:
    """The settings that the files of a folder make."""
    return load_installation({"ENV_FILE": ".env"}, cwd=folder).default


@pytest.mark.parametrize("slug", sorted(SOURCES))
def test_the_files_of_each_source_load_and_its_address_is_that_of_link_url(
    init: Init, folder: Path, slug: str
) -> None:
    """What an operator makes up is made up, so that those sources are on at once."""
    output = init(slug, "--public-url", PUBLIC_URL, "--no-ask").output
    settings = settings_in(folder)
    assert webhook_address(settings, slug, None) in output
    guide = read_guide(slug)
    assert bool(guide.made) == bool(settings.secrets_of(slug))
    assert all(name.upper() in output for name in guide.names)
    if "{call_address}" in "".join(guide.steps):
        assert webhook_address(settings, slug, EXAMPLE_CALL) in output
    assert 0o600 == stat.S_IMODE((folder / ".env").stat().st_mode)


@pytest.mark.parametrize("slug", sorted(SOURCES))
def test_a_guide_names_settings_of_its_source_and_what_its_page_names(slug: str) -> None:
    """Its first setting, which turns the source on, is among them."""
    names = {setting.name for setting in SOURCES[slug].settings}
    guide = read_guide(slug)
    assert set(guide.names) <= names
    assert SOURCES[slug].settings[0].name in guide.names
    page = (ROOT / "docs" / "telephony" / f"{slug}.md").read_text(encoding="utf-8")
    steps = "\n".join(guide.steps)
    assert set() == {name for name in VENDOR_NAMES.findall(steps) if name not in page} - OUR_NAMES


def test_a_file_that_is_there_stays(init: Init, folder: Path) -> None:
    """Neither settings nor an outcome map are lost."""
    (folder / ".env").write_text("PORT=9000\n")
    assert "--force" in init("twilio", "--no-ask", code=1).output
    assert "PORT=9000\n" == (folder / ".env").read_text()
    assert not (folder / "buildr-calls.toml").exists()


def test_force_keeps_the_values_and_the_file_before(init: Init, folder: Path) -> None:
    """A source is added: addresses that vendors have must not change."""
    init("bandwidth", "--public-url", PUBLIC_URL, "--no-ask")
    before = settings_in(folder)
    with (folder / ".env").open("a") as file:
        file.write("PORT=9000\nMAX_ATTEMPTS=7\n")
    (folder / ".env").chmod(0o644)
    (folder / "buildr-calls.toml").write_text('[outcomes]\nbusy = "Engaged"\n')
    output = init("bandwidth", "zoom", "--force", "--no-ask", ZOOM_SECRET_TOKEN=AUTH_TOKEN).output
    after = settings_in(folder)
    assert (before.url_secrets, 9000, 7) == (after.url_secrets, after.port, after.max_attempts)
    assert before.secrets_of("bandwidth") == after.secrets_of("bandwidth")
    assert (AUTH_TOKEN,) == after.secrets_of("zoom").values
    modes = [stat.S_IMODE((folder / name).stat().st_mode) for name in (".env", ".env.old")]
    assert [0o600, 0o600] == modes
    assert "Left as it is: buildr-calls.toml" in output
    assert AUTH_TOKEN not in output


def test_force_takes_a_file_without_values_too(init: Init, folder: Path) -> None:
    """As `touch .env` leaves it."""
    (folder / ".env").touch()
    init("twilio", "--no-ask", code=1)
    assert "the one before is .env.old" in init("twilio", "--no-ask", "--force").output
    assert "TWILIO_AUTH_TOKEN=" in (folder / ".env").read_text()


def test_a_folder_that_cannot_be_looked_into_is_one_line(
    init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the system's reason."""

    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    output = init("twilio", "--no-ask", "--folder", "closed", code=1).output
    assert "buildr-calls: closed/.env cannot be looked for (Permission denied)\n" == output


def test_a_file_that_was_not_written_whole_is_taken_away(tmp_path: Path) -> None:
    """The next run would take it for an installation's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(Failure, match="cannot be written"):
            write_private(tmp_path / ".env", "A=1\n" * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert [] == list(tmp_path.iterdir())


def test_it_asks_and_shows_no_secret(init: Init, folder: Path) -> None:
    """A wrong answer is asked for again, with what is wrong with it."""
    typed = [
        "twillio",
        "twilio, dialpad",
        "calls.example.com",
        PUBLIC_URL,
        "redis://cache.example.com:6379/0",
        "pass word",
        "client-1",
        "secret-of-buildr-1",
        AUTH_TOKEN,
        "",
        "",
        "y",
    ]
    output = init("--ask", typed="\n".join(typed) + "\n").output
    settings = settings_in(folder)
    assert "Did you mean twilio?" in output
    assert "must be a full URL" in output
    assert "redis://:pass%20word@cache.example.com:6379/0" == settings.redis_dsn
    assert "client-1" == settings.buildr_client_id
    assert (AUTH_TOKEN,) == settings.secrets_of("twilio").values
    assert settings.console_token
    secrets = (AUTH_TOKEN, "secret-of-buildr-1", "pass word", *settings.url_secrets)
    assert [] == [secret for secret in secrets if secret in output]


def test_secrets_are_read_from_variables_and_from_their_files(init: Init, folder: Path) -> None:
    """A file that a variable names stays where it is, and is named in the settings."""
    (folder / "token").write_text(AUTH_TOKEN)
    variables = {
        "TWILIO_AUTH_TOKEN_FILE": "token",
        "BUILDR_ACCESS_TOKEN": "a token with # in it",
        "REDIS_URL": "redis://:secret@127.0.0.1:6379/1",
    }
    output = init("twilio", "--no-ask", "--console", **variables).output
    settings = settings_in(folder)
    assert (AUTH_TOKEN,) == settings.secrets_of("twilio").values
    assert AUTH_TOKEN not in (folder / ".env").read_text()
    assert settings.buildr_access_token is not None
    assert "a token with # in it" == settings.buildr_access_token.get_secret_value()
    assert "https://YOUR-ADDRESS/webhooks/twilio" in output
    assert "CONSOLE_TOKEN" in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name the telephony systems"),
        (("twilio", "--public-url", "calls"), "--public-url: PUBLIC_URL: must be a full URL"),
        (("twilio", "--redis-url", "redis://:pw@host"), "arguments are seen by others"),
    ],
)
def test_wrong_usage_writes_nothing(
    init: Init, folder: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    """Without a terminal nothing is asked."""
    assert complaint in " ".join(init(*arguments, code=2).output.split())
    assert [] == list(folder.iterdir())


def test_a_fault_of_several_settings_writes_nothing(init: Init, folder: Path) -> None:
    """Half a pair of credentials would only be found at the start."""
    output = init("standard", "--no-ask", code=1, BUILDR_CLIENT_ID="client-1").output
    assert "BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET go together" in output
    assert [] == list(folder.iterdir())


def test_it_names_the_folder_to_go_to(init: Init, folder: Path) -> None:
    """The files are found from the folder in which they lie."""
    output = init("standard", "--no-ask", "--folder", "to/my calls").output
    assert "cd 'to/my calls'" in output
    assert settings_in(folder / "to/my calls").secrets_of("standard")


def test_the_outcome_map_is_all_defaults_and_loads_with_each_line_that_is_a_comment(
    folder: Path,
) -> None:
    """A line counts once its # is taken away."""
    (folder / "buildr-calls.toml").write_text(outcome_file())
    assert {} == load_installation({}, cwd=folder).default.outcome_config.outcomes
    text = re.sub(r"^#(?=[a-z\[])", "", outcome_file(), flags=re.MULTILINE)
    (folder / "buildr-calls.toml").write_text(text)
    config = load_installation({}, cwd=folder).default.outcome_config
    assert (11, 2, 1) == (len(config.outcomes), len(config.rules), len(config.tests))


def test_a_password_is_put_into_the_address_of_redis() -> None:
    """Whatever is in it, and with the user that the address names."""
    assert "rediss://ana:p%40%2F@host:1/0" == with_password("rediss://ana@host:1/0", "p@/")
    assert "redis://host" == with_password("redis://host", "")
    assert not has_password("redis://ana@host")
