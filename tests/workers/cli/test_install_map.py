"""
outcomes install: a map that was tried becomes that of buildr-calls.toml.
"""

from pathlib import Path

from tests.workers.cli.conftest import Run

NEW = """# Tried on Monday.
[outcomes]
# Nobody there is nobody there.
busy = "No Answer"

[business_hours]
timezone = "UTC"
hours = { mon = "09:00-17:00" }

[[outcomes.tests]]
call = { result = "busy" }
outcome = "No Answer"
"""
PRESENT = 'spool_max_mb = 64\n\n[outcomes]\nbusy = "Busy"\n\n[[rules]]\nwhen = { agent = "Ana" }\n'


def test_a_map_is_written_into_the_file_in_place(run: Run, tmp_path: Path) -> None:
    """With its comments, hours and sample calls; the settings stay, and so does a copy."""
    path = tmp_path / "buildr-calls.toml"
    path.write_text(f"{PRESENT}outcome = false\n", encoding="utf-8")
    (tmp_path / "new.toml").write_text(NEW, encoding="utf-8")
    result = run("outcomes", "install", "new.toml", "--yes")
    assert "buildr-calls outcomes preview --since 7d --apply" in result.stdout
    assert path.read_text(encoding="utf-8") == f"spool_max_mb = 64\n\n{NEW}"
    (backup,) = tmp_path.glob("*.bak")
    assert backup.name in result.stdout
    run("outcomes", "test")


def test_nothing_is_written_unless_it_is_agreed(run: Run, tmp_path: Path) -> None:
    """And a file of another form is left alone."""
    (tmp_path / "new.toml").write_text(NEW, encoding="utf-8")
    run("outcomes", "install", "new.toml", code=1)
    path = tmp_path / "buildr-calls.toml"
    assert not path.exists()
    text = 'outcomes = { busy = "Busy" }\n'
    path.write_text(text, encoding="utf-8")
    result = run("outcomes", "install", "new.toml", "--yes", code=1)
    assert "put the map into it by hand" in result.stderr
    assert text == path.read_text(encoding="utf-8")


ACCOUNTS = """[outcomes]
busy = "Busy"

[accounts.acme]
standard_secret = "whsec_YW5vdGhlci1zdGFuZGFyZC1zZWNyZXQ="

[[accounts.acme.rules]]
when = { agent = "Ana" }
outcome = false

[accounts.other.outcomes]
busy = "Rejected"
"""
NEW_OF_ACME = """# Of Acme alone.
[accounts.acme.outcomes]
busy = "No Answer"

[[accounts.acme.outcomes.tests]]
call = { result = "busy" }
outcome = "No Answer"
"""


def test_the_map_of_an_account_is_written_below_its_name(run: Run, tmp_path: Path) -> None:
    """That of the default account and of others, and the account's settings, stay as they are."""
    path = tmp_path / "buildr-calls.toml"
    path.write_text(ACCOUNTS, encoding="utf-8")
    (tmp_path / "new.toml").write_text(NEW_OF_ACME, encoding="utf-8")
    result = run("outcomes", "install", "new.toml", "--yes", "--account", "acme")
    assert "outcomes preview --since 7d --apply --account acme" in result.stdout
    rules = ACCOUNTS[ACCOUNTS.index("[[accounts.acme.rules]]") : ACCOUNTS.index("[accounts.other")]
    assert path.read_text(encoding="utf-8") == ACCOUNTS.replace(rules, f"{NEW_OF_ACME}\n")
    (backup,) = tmp_path.glob("*.bak")
    assert backup.read_text(encoding="utf-8") == ACCOUNTS
    run("outcomes", "test", "--account", "acme")


def test_an_account_that_had_no_map_gets_one(run: Run, tmp_path: Path) -> None:
    """At the end of the file; sample calls that the new file lacks stay."""
    path = tmp_path / "buildr-calls.toml"
    text = ACCOUNTS.partition("[[accounts.acme.rules]]")[0]
    path.write_text(text, encoding="utf-8")
    (tmp_path / "new.toml").write_text(NEW_OF_ACME, encoding="utf-8")
    run("outcomes", "install", "new.toml", "--yes", "--account", "acme")
    assert path.read_text(encoding="utf-8") == f"{text.strip()}\n\n{NEW_OF_ACME}"
    shorter = NEW_OF_ACME.partition("[[")[0].replace("No Answer", "Busy")
    (tmp_path / "new.toml").write_text(shorter, encoding="utf-8")
    run("outcomes", "install", "new.toml", "--yes", "--account", "acme")
    assert "1 failed" in run("outcomes", "test", "--account", "acme", code=1).stdout


def test_what_decides_nothing_for_the_account_is_no_difference(run: Run, tmp_path: Path) -> None:
    """Sample calls of the top, and tables without a line."""
    text = '[notes]\n\n[[outcomes.tests]]\ncall = { result = "busy" }\noutcome = "Busy"\n'
    path = tmp_path / "buildr-calls.toml"
    path.write_text(f"{text}\n[accounts.acme]\n", encoding="utf-8")
    own = f"{NEW_OF_ACME.partition('[[')[0].strip()}\n"
    (tmp_path / "new.toml").write_text(own, encoding="utf-8")
    run("outcomes", "install", "new.toml", "--yes", "--account", "acme")
    assert path.read_text(encoding="utf-8") == f"{text}\n[accounts.acme]\n\n{own}"


def test_what_was_not_tried_is_not_installed(run: Run, tmp_path: Path) -> None:
    """
    A file without tables of the account, or one with which the account would take other tables from
    the top than it was tried with.
    """
    path = tmp_path / "buildr-calls.toml"
    ruled = ACCOUNTS.replace("accounts.acme.rules", "rules")
    path.write_text(ruled, encoding="utf-8")
    for new, reason in (
        (NEW_OF_ACME, "rules would come from the top of buildr-calls.toml"),
        (f"{NEW}\n[accounts.acme]\n", "has no tables of the account"),
        (f'recorded_at = "start"\n{ruled}', "has no tables of the account"),
    ):
        (tmp_path / "new.toml").write_text(new, encoding="utf-8")
        result = run("outcomes", "install", "new.toml", "--yes", "--account", "acme", code=1)
        assert reason in result.stderr
        assert ruled == path.read_text(encoding="utf-8")
    (tmp_path / "new.toml").write_text("[accounts.other.outcomes]\n", encoding="utf-8")
    run("outcomes", "install", "new.toml", "--yes", "--account", "acme", code=2)
    # With the same top, it is what was tried.
    whole = ruled + NEW_OF_ACME
    (tmp_path / "new.toml").write_text(whole, encoding="utf-8")
    run("outcomes", "install", "new.toml", "--yes", "--account", "acme")
    assert path.read_text(encoding="utf-8").endswith(NEW_OF_ACME)
