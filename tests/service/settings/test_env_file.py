"""
Files of settings that `ENV_FILE` names.
"""

from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import load_installation
from service.settings.env_file import with_env_file


def test_lines_are_read_as_systemd_reads_them(tmp_path: Path) -> None:
    """
    Comments, empty lines and empty values are left out, quotes are taken off, a value may hold
    anything.
    """
    path = tmp_path / "env"
    path.write_text(
        "# a comment\n\n; another\nPORT=8000\n  HOST = ::1 \nEMPTY=\n"
        'A="b c"\nB=\'d=e\'\nC=f#g=\nD="\n',
        encoding="utf-8",
    )
    expected = {
        "PORT": "8000",
        "HOST": "::1",
        "A": "b c",
        "B": "d=e",
        "C": "f#g=",
        "D": '"',
    }
    faults: list[str] = []
    environ = {"ENV_FILE": "env", "PORT": "1", "LANG": "C"}
    assert {**environ, **expected} == with_env_file(environ, tmp_path, faults)
    assert {} == with_env_file({}, tmp_path, faults)
    assert [] == faults


def test_every_line_that_is_none_is_named_without_its_text(tmp_path: Path) -> None:
    """It may hold a secret."""
    path = tmp_path / "env"
    path.write_text("PORT=1\nsecret-of-mine\nHOST=::1\nanother secret\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_installation({"ENV_FILE": str(path)}, cwd=tmp_path)
    assert caught.value.faults[:2] == (
        f"ENV_FILE: {path}: line 2 is not like NAME=value",
        f"ENV_FILE: {path}: line 4 is not like NAME=value",
    )


def test_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """It may be gone at a reload, or be of another kind."""
    faults: list[str] = []
    with_env_file({"ENV_FILE": "missing"}, tmp_path, faults)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with_env_file({"ENV_FILE": "binary"}, tmp_path, faults)
    assert [
        "ENV_FILE: cannot read missing: No such file or directory",
        "ENV_FILE: cannot read binary: it is not UTF-8",
    ] == faults


def test_file_wins_over_the_environment(tmp_path: Path) -> None:
    """What is in the file is read again at each reload, the environment is not."""
    (tmp_path / "env").write_text("PORT=8123\n", encoding="utf-8")
    environ = {"ENV_FILE": "env", "PORT": "8000", "REDIS_URL": "redis://127.0.0.1:1/0"}
    assert 8123 == load_installation(environ, cwd=tmp_path).default.port
