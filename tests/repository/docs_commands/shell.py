"""
What a shell makes of a line that is not run as it is: the words of `curl` after all expansions.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx
import pytest
from msgspec import Struct

from tests.repository.docs_commands.system import HOST, Done

# In place of the program: shows the words that it would have got, each with a NUL behind it.
SHOWS_WORDS: Final = "curl() { printf '%s\\0' \"$@\"; }\n"
BODY_OPTIONS: Final = ("-d", "--data", "--data-binary")
VALUE_OPTIONS: Final = (*BODY_OPTIONS, "-X", "-H", "-u", "--data-urlencode")
TIMEOUT_S: Final = 20
# Variables that a page has its reader fill, besides settings; the page says what they are.
OF_THE_READER: Final = {
    "SIGNALWIRE_PROJECT_ID": "a-project",
    "SIGNALWIRE_SPACE": "a-space",
    "TELNYX_API_KEY": "a-key",
    "TOKEN": "an-access-token",
}


class CurlRequest(Struct, frozen=True, kw_only=True):
    """A request of `curl`; `fields` are the fields of a form."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    fields: tuple[str, ...]

    def send(self, own_url: str) -> Done:
        """Send it to the receiver that listens at `own_url`, in place of the one of the page."""
        answer = httpx.request(
            self.method,
            self.url.replace(HOST, own_url),
            headers=self.headers,
            content=self.body,
            timeout=TIMEOUT_S,
        )
        return Done(code=0 if answer.is_success else answer.status_code, output=answer.text)

    def json(self) -> object:
        """The body as JSON; None without a body. Raises ValueError."""
        return None if self.body is None else json.loads(self.body)


def curl_request(script: Sequence[str], variables: Mapping[str, str], folder: Path) -> CurlRequest:
    """The request of the last line of a script, whose other lines are assignments."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not on this machine")
    done = subprocess.run(
        [bash, "-euc", SHOWS_WORDS + "\n".join(script)],
        env={"PATH": os.environ["PATH"], **OF_THE_READER, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return _parsed(iter(done.stdout.split("\0")[:-1]))


def _parsed(words: Iterator[str]) -> CurlRequest:
    values: dict[str, list[str]] = {}
    urls = []
    for word in words:
        if word in VALUE_OPTIONS:
            values.setdefault(word, []).append(next(words))
        else:
            urls.append(word)
    (url,) = urls
    bodies = [body for option in BODY_OPTIONS for body in values.get(option, [])]
    assert len(bodies) <= 1, f"two bodies: {bodies}"
    headers = dict(header.split(": ", 1) for header in values.get("-H", []))
    methods = values.get("-X", ["POST" if bodies else "GET"])
    return CurlRequest(
        method=methods[0],
        url=url,
        headers=headers,
        body=next(iter(bodies), None),
        fields=tuple(values.get("--data-urlencode", [])),
    )
