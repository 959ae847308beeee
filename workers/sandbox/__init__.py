"""
The local Buildr, for demos, tests and the developer's machine.
"""

from workers.sandbox.app import create_sandbox
from workers.sandbox.config import SandboxConfig
from workers.sandbox.server import make_server, run_sandbox

__all__ = ["SandboxConfig", "create_sandbox", "make_server", "run_sandbox"]
