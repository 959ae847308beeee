"""
The page of the source `standard` is true: its examples run, its JSON is read, its table is the
model's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest
from jsonschema import Draft202012Validator

from service.events import STATED_RESULTS, EventType, HangupCause, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from service.sources.standard.payload import (
    StandardMessage,
    StandardRecording,
    StandardVoicemail,
    json_schema,
)
from service.sources.standard.vocabulary import EVENT_TYPES
from workers.backfill import LOGS
from workers.calls.fold import fold

DOCS: Final = Path(__file__).parents[2] / "docs" / "telephony"
PAGE: Final = (DOCS / "standard.md").read_text(encoding="utf-8")
SECRET: Final = "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw=="
STANDARD: Final = SOURCES["standard"]
HEADINGS: Final = [
    "What you need",
    "Set up there",
    "Settings here",
    "How the Buildr call is found",
    "Test it",
    "What each result means",
    "Limits and quirks",
    "Troubleshooting",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


class Receiver(HTTPServer):
    """Takes one request on loopback and keeps it as the real receiver would see it."""

    received: WebhookRequest | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers a POST as the source does."""

    def do_POST(self) -> None:
        """Keep the request, answer it."""
        assert isinstance(self.server, Receiver)
        request = WebhookRequest(
            method="POST",
            url=self.server.url + self.path,
            headers={name.lower(): tuple(self.headers.get_all(name, [])) for name in self.headers},
            body=self.rfile.read(int(self.headers["content-length"])),
        )
        self.server.received = request
        reply = STANDARD.reply(request)
        self.send_response(reply.status)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(("127.0.0.1", 0), Handler) as server:
        server.timeout = 20
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server
        thread.join()


def run(command: list[str], receiver: Receiver) -> str:
    environ = {
        **os.environ,
        "STANDARD_SECRET": SECRET,
        "PUBLIC_URL": receiver.url,
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(request: WebhookRequest | None, cause: HangupCause) -> None:
    assert request is not None
    assert request.url.endswith("/webhooks/standard")
    STANDARD.verify(request, Secrets((SECRET,)), datetime.now(UTC))
    (event,) = STANDARD.parse(request, "m1")
    assert (EventType.ENDED, cause, "110") == (
        event.event_type,
        event.hangup_cause,
        event.buildr_call_id,
    )
    # One message is a whole call: without a direction it would stay open.
    assert Result(cause) is fold([event]).result


def test_python_example_is_proved_genuine(receiver: Receiver) -> None:
    """Whoever copies the Python example sends messages that are accepted."""
    (code,) = blocks("python")
    assert run([sys.executable, "-c", code], receiver).strip() == "202"
    check(receiver.received, HangupCause.NO_ANSWER)


def test_shell_example_is_proved_genuine(receiver: Receiver) -> None:
    """Whoever copies the curl example sends a message that is accepted."""
    if not all(map(shutil.which, ("curl", "openssl", "od"))):
        receiver.socket.close()
        pytest.skip("curl, openssl or od is missing")
    (code,) = (block for block in blocks("sh") if "openssl" in block)
    assert json.loads(run(["sh", "-euc", code], receiver)) == {"status": "accepted"}
    check(receiver.received, HangupCause.BUSY)


@pytest.mark.parametrize("text", blocks("json"))
def test_json_examples_are_read(text: str) -> None:
    """Every JSON example fits the schema and is read as its type says."""
    body = json.loads(text)
    Draft202012Validator(json_schema()).validate(body)
    (event,) = STANDARD.parse(
        build_request({"body_json": body}, base_url="https://hooks.example.test"), "m1"
    )
    assert EVENT_TYPES[body["type"]] is event.event_type


def test_json_examples_make_the_calls_that_the_page_says() -> None:
    """Taken together, the examples of each call end as the text beside them says."""
    events = [
        event
        for text in blocks("json")
        for event in STANDARD.parse(
            build_request({"body_json": json.loads(text)}, base_url="https://hooks.example.test"),
            "m1",
        )
    ]
    results = {
        name: fold([event for event in events if event.source_call_id == name]).result
        for name in {e.source_call_id for e in events}
    }
    assert results == {
        "pbx-1001": Result.LEFT_VOICEMAIL,
        "pbx-1002": Result.CONNECTED,
        "pbx-1003": Result.VOICEMAIL_RECEIVED,
        "pbx-1004": Result.CONNECTED,
    }


def test_table_of_fields_is_the_models() -> None:
    """Every field has its row, with what the model says of it, and no row is left over."""
    rows = []
    for prefix, model in (
        ("", StandardMessage),
        ("recording.", StandardRecording),
        ("voicemail.", StandardVoicemail),
    ):
        for name, field in model.model_fields.items():
            rows.append(
                f"| `{prefix}{field.alias or name}` | {'yes' if field.is_required() else 'no'} | "
                f"{field.description} |"
            )
    result = re.findall(r"^\| `[a-z_.]+` \| (?:yes|no) \| .* \|$", PAGE, flags=re.MULTILINE)
    assert sorted(rows) == sorted(result)


def test_every_word_is_explained() -> None:
    """
    Types, causes and results are all on the page, and the results on Twilio's page too; every
    result, also the one that no source states, is on the page of outcomes.
    """
    for value in (*EVENT_TYPES, *HangupCause, *STATED_RESULTS):
        assert f"`{value}`" in PAGE, value
    twilio = (DOCS / "twilio.md").read_text(encoding="utf-8")
    for result in STATED_RESULTS:
        assert f"`{result}`" in twilio, result
    for page in ("outcomes.md", "how-it-works.md"):
        text = (DOCS.parent / page).read_text(encoding="utf-8")
        assert [] == [result for result in Result if f"`{result}`" not in text], page


@pytest.mark.parametrize("slug", sorted(SOURCES))
def test_pages_have_the_same_headings(slug: str) -> None:
    """
    Every source's page is laid out alike, and has a part on back-fill where its call log is read.
    """
    headings = list(HEADINGS)
    if slug in LOGS:
        headings.insert(headings.index("Limits and quirks"), "Back-fill")
    assert headings == re.findall(
        r"^## (.+)$", (DOCS / f"{slug}.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
