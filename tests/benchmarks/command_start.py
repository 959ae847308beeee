"""
The processor time of commands, beside that of an empty Python: `make bench-cli`.

Needs a Redis at REDIS_URL, or a folder in which `buildr-calls run` runs.
"""

import os
import resource
import statistics
import subprocess
import sys
from typing import Final

ROUNDS: Final = 7
PROGRAM: Final = (sys.executable, "-m", "workers.cli.main")
COMMANDS: Final = (
    ("--help",),
    ("explain", "twilio:CA00000000000000000000000000000001"),
    ("calls",),
    ("failed", "list"),
    ("unmatched", "list"),
    ("status",),
)


def cpu_ms(arguments: tuple[str, ...]) -> float:
    """The median of user and system time of a process, in ms; the first round warms up."""
    # Modules are compiled once, as they are where the program is installed.
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    times = []
    for _ in range(ROUNDS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(arguments, capture_output=True, check=False, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append(spent_s * 1000)
    return statistics.median(times[1:])


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print a table: the command, its ms, and how many empty Pythons that is."""
    empty_ms = cpu_ms((sys.executable, "-c", "pass"))
    _show(f"{'python -c pass':<60} {empty_ms:6.0f} ms")
    for command in COMMANDS:
        spent_ms = cpu_ms((*PROGRAM, *command))
        _show(f"{' '.join(command):<60} {spent_ms:6.0f} ms  {spent_ms / empty_ms:5.1f} x")


if __name__ == "__main__":
    main()
