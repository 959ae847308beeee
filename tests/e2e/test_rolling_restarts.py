"""
The receiver's processes are replaced while messages arrive.
"""

from pathlib import Path

import httpx
import pytest

from tests.e2e.rolling_restarts import RollingTrial, receiving, run

pytestmark = pytest.mark.slow


def test_restarts_lose_no_message_and_wrong_settings_change_nothing(
    redis_url: str, tmp_path: Path
) -> None:
    """
    Senders that never send again lose nothing, whether they keep their connections or not; with
    settings that are wrong the old processes go on, and the log says what is wrong, once.
    """
    trial = RollingTrial(restarts=1, processes=1, fresh=2, lasting=2)
    with receiving(trial, redis_url, tmp_path) as receiver:
        settings = receiver.env_file.read_text(encoding="utf-8")
        receiver.env_file.write_text("STANDARD_SECRET=\n", encoding="utf-8")
        receiver.reload("service.not_reloaded")
        assert httpx.codes.OK == httpx.get(f"http://127.0.0.1:{receiver.port}/readyz").status_code
        receiver.env_file.write_text(settings, encoding="utf-8")
        figures = run(trial, receiver)
    for senders in (figures.fresh, figures.lasting):
        assert senders.sent > 0
        assert 0 == senders.not_taken
    faults = [line for line in receiver.lines if line["level"] == "error"]
    assert ["service.not_reloaded"] == [line["event"] for line in faults]
    assert str(faults[0]["reason"]).startswith("no source has a secret: set ")
