"""
The spool as commands see it: what is in a folder, whoever has its files, and whether it lasts.
"""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from service.spool.folder import broken_files, spool_files
from service.spool.messages import Depth
from service.spool.reading import read_depths

MOUNTS: Final = Path("/proc/self/mounts")
# Device, folder, kind, and what is not read.
MOUNT_PARTS: Final = 4
# In memory: a restart of the machine loses what is there.
MEMORY: Final = frozenset({"tmpfs", "ramfs"})
# SQLite's WAL needs memory that processes of one machine share: https://www.sqlite.org/wal.html
NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"})
# The layer of a container, which goes with the container.
CONTAINER: Final = frozenset({"overlay", "aufs"})


class SpoolStatus(Struct, frozen=True):
    """
    What is in a folder: the depth of each account, and how many files were put aside as broken, or
    cannot be read now.
    """

    depths: Mapping[str, Depth] = field(default_factory=dict)
    broken_files: int = 0
    unreadable_files: int = 0


def read_spool(folder: Path) -> SpoolStatus:
    """
    What is in a folder, empty if there is none. Raises OSError if this user may not read it.
    """
    if not folder.is_dir():
        return SpoolStatus()
    depths: dict[str, Depth] = {}
    unreadable = 0
    for path in spool_files(folder):
        try:
            of_file = read_depths(path)
        # Removed meanwhile by the receiver, or not one of ours.
        except sqlite3.Error:
            unreadable += path.exists()
            continue
        for account, depth in of_file.items():
            depths[account] = depths.get(account, Depth()).plus(depth)
    return SpoolStatus(depths, len(broken_files(folder)), unreadable)


class Place(Struct, frozen=True):
    """
    Whether a folder is fit for the spool: `fault` is why it is not, `notice` what an operator
    should know of it.
    """

    fault: str | None = None
    notice: str | None = None


def assess_folder(folder: Path, mounts: Path = MOUNTS) -> Place:
    """Whether messages can be written to a folder, or to the one in which it will be made."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return Place(fault=f"{existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Place(fault=f"this user may not write to {existing}")
    kind = _file_system(existing, mounts)
    if kind in MEMORY:
        return Place(fault=f"{existing} is in memory ({kind}) and lost with a restart")
    if kind in NETWORK:
        return Place(fault=f"{existing} is on a network ({kind}); a disk of this machine is needed")
    if kind in CONTAINER:
        return Place(notice=f"{existing} goes with its container ({kind}): mount a volume there")
    return Place()


def _file_system(folder: Path, mounts: Path) -> str | None:
    """The kind of file system that a folder is on; None where the system does not show it."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    resolved = folder.resolve()
    kinds: dict[Path, str] = {}
    for line in lines:
        parts = line.split(" ")
        if len(parts) < MOUNT_PARTS:
            continue
        _, point, kind, *_ = parts
        # Blanks are written as octal numbers. A later mount hides an earlier one.
        kinds[Path(point.replace("\\040", " "))] = kind
    for parent in (resolved, *resolved.parents):
        if parent in kinds:
            return kinds[parent]
    return None
