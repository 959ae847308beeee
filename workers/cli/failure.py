"""
How a command ends that did not do its work: plain lines on stderr, and an exit code.
"""

import errno
import os
import sys
from collections.abc import Sequence
from typing import IO, Any, Final

import click

from service.errors import BuildrError, QueueUnavailable, SettingsError
from workers.cli.output import write_escaped
from workers.cli.program import PROGRAM
from workers.local.data_folder import LocalRunError

FAILED: Final = 1
WRONG_USAGE: Final = 2
# The disk that the output goes to is full, or the user's part of it.
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SettingsFault(click.ClickException):
    """The settings are not usable; shown as one line per fault."""

    exit_code = FAILED

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults: Final = tuple(faults)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the faults to stderr."""
        for fault in self.faults:
            write_escaped(f"{PROGRAM}: {fault}", file or sys.stderr)


class Failure(click.ClickException):
    """Something could not be done; shown as one line."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line to stderr."""
        write_escaped(f"{PROGRAM}: {self.format_message()}", file or sys.stderr)


class WrongAccount(Failure):
    """
    An account was named that is not there, or none where one has to be; shown as one line that
    lists them.
    """

    exit_code = WRONG_USAGE


def buildr_failure(err: BuildrError, *, advice: str = "") -> Failure:
    """How a command ends that Buildr did not do what it was asked for; `advice` is what to do."""
    text = str(err)
    # Most say so themselves.
    if not text.startswith("Buildr"):
        text = f"Buildr: {text}"
    return Failure(text + advice)


def failure_of(err: Exception) -> click.ClickException | None:
    """How a command ends after an error that says what to do; None for any other error."""
    if isinstance(err, SettingsError):
        return SettingsFault(err.faults)
    if isinstance(err, LocalRunError | QueueUnavailable):
        return Failure(str(err))
    if isinstance(err, OSError) and err.errno in NO_ROOM:
        _drop_what_cannot_be_written()
        return Failure(f"cannot write: {err.strerror}")
    return None


def _drop_what_cannot_be_written() -> None:
    """Python would try it once more when the process ends, and make its status 120."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
