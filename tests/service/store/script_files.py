"""
The files of scripts that only others include, and the kinds of keys that scripts and modules name.
"""

import re
from pathlib import Path
from typing import Final

STORE: Final = Path(__file__).parents[3] / "service" / "store"

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
        "revisions",
        "waking",
        "when_full",
    }
)


def kinds_of_keys() -> set[str]:
    """The kinds that the scripts and the modules of the store name; `:` ends one with a name."""
    in_lua = re.compile(r"P \.\. '([a-z_]+:?)")
    in_python = re.compile(r"""(?:\.named\(f?|_KEY: Final = )"([a-z_]+:?)""")
    kinds: set[str] = set()
    for pattern, suffix in ((in_lua, "lua"), (in_python, "py")):
        for path in STORE.rglob(f"*.{suffix}"):
            kinds.update(pattern.findall(path.read_text(encoding="utf-8")))
    return kinds
