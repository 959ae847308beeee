"""
How many connections a process can hold, by the number of files that it may open.
"""

import contextlib
import resource
from typing import Final

# What a receiver opens beside connections of senders: connections to Redis, log, spool, libraries.
# 8 is the size of an account's pool of connections to Redis.
BASE_FILES: Final = 56
FILES_PER_ACCOUNT: Final = 8
# So many are tried even where the limit says that there is no room for them.
LEAST: Final = 16


def raise_file_limit(files: int) -> int:
    """Raise the limit of open files to so many, or as far as this process may; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return files
    target = files
    if hard != resource.RLIM_INFINITY:
        target = min(files, hard)
    if soft < target:
        # A sandbox may forbid it.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connection_limit(connections: int, *, accounts: int) -> int:
    """So many connections, or as many as open files allow, after the limit of those is raised."""
    other_files = BASE_FILES + FILES_PER_ACCOUNT * accounts
    files = raise_file_limit(connections + other_files)
    return max(LEAST, min(connections, files - other_files))
