"""
The program's name and version.
"""

from typing import Final

PROGRAM: Final = "buildr-calls"
NOT_INSTALLED: Final = "not installed"


def program_version() -> str:
    """The version that is installed."""
    # Only who asks for it pays for it: the module reads many others.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return NOT_INSTALLED
