"""
The files of scripts that only others include.
"""

from typing import Final

SHARED: Final = frozenset(
    {
        "accepting",
        "call_index",
        "common",
        "ending",
        "expectations",
        "ids",
        "lanes",
        "permits",
        "phone_entries",
        "reading",
        "waking",
        "when_full",
    }
)
