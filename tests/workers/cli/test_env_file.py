"""
Files of settings for `serve --env-file`.
"""

from pathlib import Path

import pytest

from workers.cli.env_file import read_env_file
from workers.cli.output import Failure


def test_lines_are_read_as_systemd_reads_them(tmp_path: Path) -> None:
    """Comments and empty lines are left out, quotes are taken off, a value may hold anything."""
    path = tmp_path / "env"
    path.write_text(
        "# a comment\n\n; another\nPORT=8000\n  HOST = ::1 \nEMPTY=\n"
        'A="b c"\nB=\'d=e\'\nC=f#g=\nD="\n',
        encoding="utf-8",
    )
    expected = {
        "PORT": "8000",
        "HOST": "::1",
        "EMPTY": "",
        "A": "b c",
        "B": "d=e",
        "C": "f#g=",
        "D": '"',
    }
    assert expected == read_env_file(str(path))
    assert {} == read_env_file(None)


def test_line_that_is_none_is_named_without_its_text(tmp_path: Path) -> None:
    """It may hold a secret."""
    path = tmp_path / "env"
    path.write_text("PORT=1\nsecret-of-mine\n", encoding="utf-8")
    with pytest.raises(Failure) as caught:
        read_env_file(str(path))
    assert f"--env-file {path}: line 2 is not like NAME=value" == caught.value.message


def test_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """It may be gone at a reload, or be of another kind."""
    with pytest.raises(Failure, match="No such file"):
        read_env_file(str(tmp_path / "missing"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(Failure, match="not UTF-8"):
        read_env_file(str(tmp_path / "binary"))
