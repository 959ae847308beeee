"""
What a command does not use is not imported; what logs all the same is no output of it.
"""

import subprocess
import sys

import pytest

SHOW = """
import sys
from workers.cli.main import _log_errors_only
_log_errors_only()
import workers.cli.{module}
print([name for name in {names} if name in sys.modules])
"""
LOG = """
import logging
from workers.cli.main import _log_errors_only
_log_errors_only()
logging.getLogger("redis").warning("no output")
logging.getLogger("redis").error("is shown")
import structlog
structlog.get_logger("x").warning("no output")
structlog.get_logger("x").error("is shown too")
"""
HEAVY = ("structlog", "nacl", "phonenumbers", "jinja2", "httpx", "starlette")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["calls", "explain", "failed", "call_lists"])
def test_quick_commands_import_no_large_library(module: str) -> None:
    """Each takes as long as many commands do for all of their work."""
    code = SHOW.format(module=module, names=HEAVY)
    assert "[]\n" == _run(code).stdout


@pytest.mark.slow
def test_errors_are_shown_and_nothing_below() -> None:
    """Whoever logs: a library before structlog is there, or our own modules."""
    result = _run(LOG)
    assert "" == result.stdout
    assert ("is shown" in result.stderr, "is shown too" in result.stderr) == (True, True)
    assert "no output" not in result.stderr


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
