"""
dial-token: who may call from the dial page.
"""

import json

import pytest

from tests.workers.cli.conftest import Run


def test_a_token_is_made_listed_and_withdrawn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its link is shown once, and an agent whom no call names is pointed out."""
    monkeypatch.setenv("DIALLER", "tel")
    added = run("dial-token", "add", "Ana Lopez", "--agent", "ana@example.com")
    assert "/dial/login#token=default." in added.stdout
    assert "No stored call is of the agent 'ana@example.com'" in added.stderr
    content = json.loads(run("dial-token", "add", "Ben", "--json").stdout)
    assert ("Ben", None, None) == (content["name"], content["agent"], content["last_log_in_at"])
    table = run("dial-token", "list").stdout
    assert "Ana Lopez" in table
    assert "never" in table
    ids = [entry["id"] for entry in json.loads(run("dial-token", "list", "--json").stdout)]
    assert content["id"] in ids
    for token_id in ids:
        run("dial-token", "revoke", token_id)
    assert "there is no token" in run("dial-token", "revoke", "1234", code=1).stderr
    assert "Nobody may use the dial page" in run("dial-token", "list").stdout


def test_without_a_dialler_nobody_gets_a_link(run: Run) -> None:
    """It would lead nowhere."""
    assert "set DIALLER" in run("dial-token", "add", "Ana", code=1).stderr


def test_a_name_is_printable(run: Run) -> None:
    """It is shown on pages and in tables."""
    assert "printable" in run("dial-token", "add", "Ana\x1b[31m", code=2).stderr
