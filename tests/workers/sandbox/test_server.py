"""
The sandbox as a process.
"""

import signal
import socket
import subprocess
import sys

import pytest

from workers.sandbox import SandboxConfig, run_sandbox


def test_taken_port_is_an_error_for_the_caller() -> None:
    """A port that is taken ends the start with an OSError, not with a log line and an exit."""
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="in use"):
        run_sandbox(SandboxConfig(), host="127.0.0.1", port=listener.getsockname()[1])


def test_ctrl_c_ends_it_in_order() -> None:
    """With exit code 0, as the receiver and a worker end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "workers.cli.main", "sandbox", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert any(b"Started server process" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (0, b"") == (process.returncode, errors)
