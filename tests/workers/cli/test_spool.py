"""
The spool in `status` and `check`.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from service.spool.files import MEGABYTE, SpoolFiles, SpoolLimits
from service.spool.status import assess_folder
from tests.doubles.messages import spooled

Run = Callable[..., Result]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SpoolFiles]:
    """The spool of a receiver that runs in the folder of the test, with two messages."""
    files = SpoolFiles(tmp_path / ".data" / "spool", SpoolLimits(MEGABYTE, least_free_bytes=0))
    files.keep_open()
    files.insert(spooled("a"), is_last_chance=False)
    files.insert(spooled("b"), is_last_chance=False)
    files.commit()
    yield files
    files.close()


def test_status_shows_what_is_spooled_on_this_machine(run: Run, files: SpoolFiles) -> None:
    """Depth, age and what was set aside, in the table only while there is something."""
    spool = json.loads(run("status", "--json").stdout)["spool"]
    assert (2, 0) == (spool["messages"], spool["set_aside"])
    assert spool["oldest_age_s"] > 0
    files.set_aside(files.read("default", 1)[0], "WRONGTYPE")
    files.commit()
    assert "messages in the spool here  1, the oldest for" in run("status").stdout
    assert "; 1 set aside" in run("status").stdout
    assert json.loads(run("status", "--json", SPOOL_DIR="off").stdout)["spool"] is None
    assert "spool" not in run("status", SPOOL_DIR="off").stdout


@pytest.mark.usefixtures("files")
def test_status_shows_the_spool_without_redis(run: Run) -> None:
    """While Redis is away the spool is all that can be shown, and is."""
    result = run("status", code=1, REDIS_URL="unix:///nowhere/redis.sock")
    assert "default: spooled messages: 2, the oldest for" in result.stderr


def _spool_finding(result: Result) -> dict[str, object]:
    (finding,) = [item for item in json.loads(result.stdout) if item["what"] == "spool"]
    return dict(finding)


def test_check_names_what_keeps_the_spool_from_working(
    run: Run, files: SpoolFiles, tmp_path: Path
) -> None:
    """A spool that is off is a warning; one that cannot be written, or holds damage, a fault."""
    finding = _spool_finding(run("check", "--json", code=1))
    assert finding["is_fine"]
    assert "2 messages wait there" in str(finding["detail"])
    warning = run("check", code=1, SPOOL_DIR="OFF").stdout
    assert "WARN spool" in warning
    (tmp_path / "file").write_text("in the way")
    finding = _spool_finding(run("check", "--json", code=1, SPOOL_DIR="file/spool"))
    assert not finding["is_fine"]
    assert "is no folder: set SPOOL_DIR" in str(finding["detail"])
    files.set_aside(files.read("default", 1)[0], "WRONGTYPE")
    files.commit()
    (tmp_path / ".data/spool/spool-0.sqlite3.broken").write_bytes(b"")
    (tmp_path / ".data/spool/spool-1.sqlite3").write_bytes(b"x" * 5000)
    finding = _spool_finding(run("check", "--json", code=1))
    for part in ("1 message is set aside", "1 file was put aside", "1 file cannot be read"):
        assert part in str(finding["detail"])


def test_kind_of_disk_decides(tmp_path: Path) -> None:
    """
    Memory and networks are no place for a spool; a container's own layer is one for as long as the
    container lasts.
    """
    mounts = tmp_path / "mounts"
    place = tmp_path / "with blank"
    place.mkdir()
    escaped = str(place).replace(" ", "\\040")

    def assess(kind: str) -> str:
        mounts.write_text(f"/dev/vda / ext4 rw 0 0\nx {escaped} {kind} rw 0 0\n")
        found = assess_folder(place / "not" / "yet", mounts)
        return f"fault: {found.fault}" if found.fault else f"notice: {found.notice}"

    assert "in memory (tmpfs)" in assess("tmpfs")
    assert "fault" in assess("nfs4")
    assert "mount a volume" in assess("overlay")
    assert "notice: None" == assess("xfs")
    assert "notice: None" == assess("xfs\nbroken line of mounts")
    assert assess_folder(place, tmp_path / "no such file").fault is None
