"""
The bookmark that takes a call from a page of Buildr to the dial page.
"""

import json
from typing import Final
from urllib.parse import quote

from workers.dial.pages import read_asset

# As encodeURIComponent leaves them, and what makes a bookmark shorter.
SAFE: Final = "()!*'~;,/?:@&=+$.-_[]{}"


def bookmark_of(page_url: str, pattern: str) -> str:
    """
    The address of the bookmark. It opens `page_url` with the id that `pattern` finds in the address
    of the page on which it is clicked, and with the number that is selected there.

    Both are behind a #: no server, proxy or log gets them from it.
    """
    script = read_asset("bookmark.js").decode()
    lines = " ".join(line.strip() for line in script.splitlines())
    lines = lines.replace("PATTERN", json.dumps(pattern)).replace("PAGE", json.dumps(page_url))
    return f"javascript:{quote(lines, safe=SAFE)}"
