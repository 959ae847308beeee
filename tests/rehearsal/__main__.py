"""
`make rehearse`: a rehearsal of what an operator does with a running installation, on this machine.

It takes some minutes and needs no rights. Exit code 1 if something was not as it should be.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import click

from tests.rehearsal.acts import Rehearsal
from tests.rehearsal.releases import NoRelease, Release, extract_previous

# Two to three minutes on a machine that does nothing else.
LONGEST_S: Final = 900


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--previous", metavar="REVISION", help="The release before, as git names it.")
@click.option("--keep", is_flag=True, help="Leave the folder with all logs.")
@click.option("--without-attacks", is_flag=True, help="A minute less.")
def main(previous: str | None, *, keep: bool, without_attacks: bool) -> None:
    """Rehearse upgrade, restarts, backup and restore behind nginx and Caddy, under traffic."""
    folder = Path(tempfile.mkdtemp(prefix="bc-rehearsal-"))
    release: Release | None = None
    try:
        release = extract_previous(folder / "previous", previous)
    except NoRelease as err:
        click.echo(f"There is no release before to upgrade from: {err}", err=True)
    rehearsal = Rehearsal(folder, release, began_s=time.monotonic())
    try:
        asyncio.run(_bounded(rehearsal, has_attacks=not without_attacks))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped before the end")
    except (RuntimeError, TimeoutError) as err:
        rehearsal.fail(str(err) or "it was not over in time")
    finally:
        if keep or rehearsal.faults:
            click.echo(f"All logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if rehearsal.faults:
        sys.exit(1)


async def _bounded(rehearsal: Rehearsal, *, has_attacks: bool) -> None:
    task = asyncio.ensure_future(rehearsal.run(has_attacks=has_attacks))
    # So that what it has started ends with it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(LONGEST_S):
        await task


if __name__ == "__main__":
    main()
