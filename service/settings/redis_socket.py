"""
Where the private Redis of a data folder listens.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

# The kernel takes paths of 108 bytes (104 on macOS); some of them are left for suffixes.
MAX_LENGTH: Final = 100


def socket_path(data_dir: Path) -> Path:
    """
    The path of the unix socket: in the data folder, or in the temporary folder if that would be too
    long for a socket.
    """
    path = data_dir.resolve() / "redis.sock"
    if len(str(path)) <= MAX_LENGTH:
        return path
    # By the path of the folder, so that every command finds the same socket, and two folders never
    # share one.
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    # With the user's id: the temporary folder is everybody's, and `make_private` refuses a folder
    # of another user.
    return Path(tempfile.gettempdir()) / f"buildr-calls-{os.getuid()}-{name}" / "redis.sock"
