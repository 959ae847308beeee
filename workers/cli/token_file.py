"""
The file into which `subscriptions ensure --token-to` writes a vendor's token.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.cli.failure import Failure


class SaveToken:
    """
    A file for one secret, made for its owner alone before anything is asked of a vendor; a file
    that is there is never written over.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.is_written = False

    def write(self, secret: str) -> None:
        """Write the secret, once and for good."""
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, f"{secret}\n".encode())
            # The vendor shows a token only through its API, and the webhook that it belongs to is
            # there already: it must be on disk before the command reports success.
            os.fsync(self._descriptor)
        except OSError as err:
            raise Failure(
                f"--token-to: the file cannot be written ({err.strerror}); "
                "the webhook is there, run the command again"
            ) from err
        self.is_written = True


@contextmanager
def token_file(path: Path | None) -> Iterator[SaveToken]:
    """
    Open a new file for a token, which is removed if nothing was written; without a path none.

    Ends the command with one line if the file exists or cannot be written.
    """
    if path is None:
        yield SaveToken(None)
        return
    try:
        # O_EXCL: a file, or a link that somebody has put there, is never written to. The mode is
        # set as it is made: with a later `chmod` the token could be read for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as err:
        raise Failure(f"--token-to: {path} is there already; name a new file") from err
    except OSError as err:
        raise Failure(f"--token-to: {path} cannot be written ({err.strerror})") from err
    file = SaveToken(descriptor)
    try:
        yield file
    finally:
        os.close(descriptor)
        if not file.is_written:
            path.unlink(missing_ok=True)
