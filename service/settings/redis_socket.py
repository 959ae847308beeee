"""
Where the private Redis of a data folder listens.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from service.errors import SettingsError

# The kernel takes paths of 108 bytes (104 on macOS); some of them are left for suffixes.
MAX_LENGTH: Final = 100
PRIVATE: Final = 0o700
OTHERS: Final = 0o077


def socket_path(data_dir: Path) -> Path:
    """
    The path of the unix socket: in the data folder, or in the temporary folder if that would be too
    long for a socket. Raises `SettingsError` where that cannot be trusted.
    """
    path = data_dir.resolve() / "redis.sock"
    if len(str(path)) <= MAX_LENGTH:
        return path
    # By the path of the folder, so that every command finds the same socket, and two folders never
    # share one.
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"buildr-calls-{os.getuid()}-{name}"
    _check_private(folder)
    return folder / "redis.sock"


def _check_private(folder: Path) -> None:
    """
    Raises `SettingsError` unless a folder is this user's and no other user may write into it.

    The temporary folder is everybody's and the name can be known: who made the folder first could
    listen there, and be given every message and token. So it is made here if it is not there.
    """
    try:
        folder.mkdir(mode=PRIVATE, exist_ok=True)
        found = folder.lstat()
    except OSError as err:
        raise SettingsError((f"DATA_DIR: {folder} cannot be made ({err.strerror})",)) from err
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & OTHERS
    if not is_private or found.st_uid != os.getuid():
        fault = (
            f"DATA_DIR: {folder}, where the private Redis would listen, is not a folder of this "
            "user alone: remove it, or choose a shorter DATA_DIR"
        )
        raise SettingsError((fault,))
