"""
How `run` makes the processes that it starts end with it.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import click

# Longer than receiver and worker take to end, see `StopTimes` of the receiver and `finish_jobs`.
GRACE_S: Final = 30.0
STDIN: Final = 0
CommandFunction = TypeVar("CommandFunction", bound=Callable[..., None])


def watched(function: CommandFunction) -> CommandFunction:
    """Add the option by which `run` makes a process end with it."""
    return click.option("--until-stdin-closes", "is_watched", is_flag=True, hidden=True)(function)


def end_with_stdin(*, is_wanted: bool) -> None:
    """End this process when its stdin closes, because the program that started it is gone then."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(STDIN, 1024):
                pass
        # By a signal to itself: the same orderly end as for a supervisor, from whatever it is
        # doing.
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(GRACE_S)
        os.kill(os.getpid(), signal.SIGKILL)

    if is_wanted:
        # A thread, since a read from stdin blocks. As a daemon it does not keep the process alive.
        threading.Thread(target=watch, name="stdin", daemon=True).start()
