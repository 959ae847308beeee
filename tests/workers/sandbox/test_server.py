"""
The sandbox as a process.
"""

import socket

import pytest

from workers.sandbox import SandboxConfig, run_sandbox


def test_taken_port_is_an_error_for_the_caller() -> None:
    """A port that is taken ends the start with an OSError, not with a log line and an exit."""
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="in use"):
        run_sandbox(SandboxConfig(), host="127.0.0.1", port=listener.getsockname()[1])
