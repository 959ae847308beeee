"""
A map of outcomes written into the file of settings.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.settings.reading import TomlFile
from workers.outcomes.map_file import NotInstalled, install, with_tables

AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
NAMES = ("outcomes", "rules")
BEFORE = """# The settings of this place.
port = 8001  # behind Caddy

[outcomes]
# Machines are rare here.
busy = "Busy"

# How it is tried.
[[outcomes.tests]]
call = { result = "busy" }
outcome = "Busy"

[[rules]]
outcome = false
[rules.when]
agent = "Ana"

# Our hours.
[business_hours]
timezone = "Europe/Berlin"
"""
NEW = '[outcomes]\nbusy = "No Answer"\n\n[[rules]]\nwhen = { agent = "Ben" }\noutcome = "Busy"'
AFTER = """# The settings of this place.
port = 8001  # behind Caddy

[outcomes]
busy = "No Answer"

[[rules]]
when = { agent = "Ben" }
outcome = "Busy"

# How it is tried.
[[outcomes.tests]]
call = { result = "busy" }
outcome = "Busy"

# Our hours.
[business_hours]
timezone = "Europe/Berlin"
"""


def test_only_the_tables_of_the_map_change() -> None:
    """Comments and all else stay where they were."""
    assert AFTER == with_tables(BEFORE, NEW, names=NAMES, place=())


def test_sample_calls_change_if_they_are_named() -> None:
    """A whole map brings its own."""
    tests = '[[outcomes.tests]]\ncall = { result = "connected" }\noutcome = "Connected"'
    result = with_tables(BEFORE, f"{NEW}\n\n{tests}", names=(*NAMES, "tests"), place=())
    assert "How it is tried" in result
    assert 'result = "connected"' in result
    assert 'outcome = "Busy"\n\n[[rules]]' not in result


def test_the_tables_of_an_account_are_its_own() -> None:
    """Those of the others stay."""
    before = '[outcomes]\nbusy = "Busy"\n\n[accounts.acme]\nbuildr_client_id = "x"\n'
    new = '[accounts.acme.outcomes]\nbusy = "No Answer"'
    after = with_tables(before, new, names=NAMES, place=("accounts", "acme"))
    assert after == f"{before}\n{new}\n"
    again = new.replace("No Answer", "Connected")
    assert f"{before}\n{again}\n" == with_tables(
        after, again, names=NAMES, place=("accounts", "acme")
    )


@pytest.mark.parametrize(
    "before",
    [
        'outcomes = { busy = "Busy" }\n',
        "rules = []\n\n[outcomes]\nbusy = 3\n",
        'x = """\n[outcomes]\n"""\ny = 1\n',
        "[outcomes]\nbusy = \n",
    ],
)
def test_another_form_is_left_alone(before: str) -> None:
    """What would change anything else, or is no TOML, is not written."""
    with pytest.raises(ValueError, match=r".+"):
        with_tables(before, NEW, names=NAMES, place=())


def test_the_file_is_replaced_and_a_copy_is_kept(tmp_path: Path) -> None:
    """With its mode, through a link, in one step."""
    path = tmp_path / "real.toml"
    path.write_text(BEFORE, encoding="utf-8")
    path.chmod(0o640)
    link = tmp_path / "buildr-calls.toml"
    link.symlink_to(path)
    installed = install(TomlFile.of(link), NEW, names=NAMES, at=AT)
    assert (path, tmp_path / "real.toml.20261102T100000Z.bak") == (installed.path, installed.backup)
    assert AFTER == path.read_text(encoding="utf-8")
    assert 0o640 == path.stat().st_mode & 0o777
    assert link.is_symlink()


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    """Its tables are all that it holds."""
    path = tmp_path / "buildr-calls.toml"
    installed = install(TomlFile.of(path), NEW, names=NAMES, at=AT)
    assert installed.backup is None
    assert f"{NEW}\n" == path.read_text(encoding="utf-8")


def test_why_nothing_is_installed_is_named(tmp_path: Path) -> None:
    """A file that changed meanwhile, one that cannot be written, one of another form."""
    path = tmp_path / "buildr-calls.toml"
    path.write_text("outcomes = 3\n", encoding="utf-8")
    file = TomlFile.of(path)
    with pytest.raises(NotInstalled, match="in a form"):
        install(file, NEW, names=NAMES, at=AT)
    path.write_text("", encoding="utf-8")
    with pytest.raises(NotInstalled, match="was changed since"):
        install(file, NEW, names=NAMES, at=AT)
    away = TomlFile.of(tmp_path / "nowhere" / "buildr-calls.toml")
    with pytest.raises(NotInstalled, match="No such file or directory"):
        install(away, NEW, names=NAMES, at=AT)
