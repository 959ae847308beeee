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


def test_the_map_of_an_account_is_written_by_hand(run: Run, tmp_path: Path) -> None:
    """Its tables are elsewhere, which the command says."""
    (tmp_path / "new.toml").write_text(NEW, encoding="utf-8")
    (tmp_path / "buildr-calls.toml").write_text(
        '[accounts.acme]\nstandard_secret = "whsec_YW5vdGhlci1zdGFuZGFyZC1zZWNyZXQ="\n',
        encoding="utf-8",
    )
    result = run("outcomes", "install", "new.toml", "--yes", "--account", "acme", code=1)
    assert "[accounts.acme]" in result.stderr
