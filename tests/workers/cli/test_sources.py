"""
`sources` and `link-url`: which telephony systems are on, and the addresses to give them.
"""

import json
from pathlib import Path

from service.webhook_urls import id_signature, path_token
from tests.workers.cli.conftest import Run

SECRET = "fake-url-secret-000000000000000000"
PUBLIC = {"PUBLIC_URL": "https://calls.example.com"}


def test_sources_shows_which_are_on_and_what_turns_the_others_on(run: Run) -> None:
    """Those that are on come first; every other says which setting it lacks."""
    lines = run("sources", TWILIO_AUTH_TOKEN="fake-token-of-the-tests").stdout.splitlines()
    assert ["standard", "twilio"] == [
        line.split()[0] for line in lines[1:] if line.split()[1] == "ready"
    ]
    assert ["standard", "twilio"] == [line.split()[0] for line in lines[1:3]]
    assert any(
        line.startswith("callrail") and "off" in line and "set CALLRAIL_SIGNING_KEY" in line
        for line in lines
    )


def test_sources_as_json(run: Run) -> None:
    """A program gets moments and names; --on leaves out what is off."""
    (result,) = json.loads(
        run(
            "sources",
            "--on",
            "--json",
            TWILIO_AUTH_TOKEN="fake-token-of-the-tests",
            STANDARD_SECRET="",
        ).stdout
    )
    assert ("twilio", "ready", None, None) == tuple(
        result[name] for name in ("source", "state", "last_message_at", "silent_since")
    )
    assert "x" not in result["settings"]


def test_link_url_of_a_source_that_signs_addresses_needs_no_secret(run: Run) -> None:
    """Twilio's own signature covers the id."""
    assert (
        "https://calls.example.com/webhooks/twilio?buildr_call_id=110\n"
        == run("link-url", "twilio", "110", **PUBLIC).stdout
    )


def test_link_url_signs_an_id_where_the_source_does_not(run: Run) -> None:
    """What it prints is what the receiver takes for proved."""
    text = run("link-url", "standard", "110", URL_SECRET=SECRET, **PUBLIC).stdout.strip()
    assert (
        "https://calls.example.com/webhooks/standard?buildr_call_id=110"
        f"&buildr_sig={id_signature(SECRET, 'standard', '110')}" == text
    )


def test_link_url_says_what_is_missing(run: Run) -> None:
    """Without URL_SECRET there is nothing to sign with; an id that is none is wrong usage."""
    assert "URL_SECRET" in run("link-url", "standard", "110", code=1, **PUBLIC).stderr
    assert (
        "digits" in run("link-url", "standard", "abc", code=2, URL_SECRET=SECRET, **PUBLIC).stderr
    )
    assert "is empty" in run("link-url", "standard", "", code=2, URL_SECRET=SECRET, **PUBLIC).stderr
    assert (
        "one address"
        in run("link-url", "callrail", "110", code=1, URL_SECRET=SECRET, **PUBLIC).stderr
    )
    assert "this machine" in run("link-url", "standard").stderr


def test_trigger_without_a_receiver_tells_no_token(run: Run) -> None:
    """The address that gives no answer is named without its token, which is a secret."""
    output = run(
        "trigger",
        "aircall",
        "answered",
        code=1,
        AIRCALL_TOKEN="fake-token-of-the-tests",
        URL_SECRET=SECRET,
        PORT="1",
    )
    assert "no answer from http://127.0.0.1:1/webhooks/aircall (" in output.stderr
    assert path_token(SECRET, "aircall") not in output.stdout + output.stderr


def test_a_source_that_is_missing_or_wrong_is_answered_with_all(run: Run) -> None:
    """The usage shows one word in their place, which no terminal breaks."""
    missing = run("trigger", code=2).stderr
    assert "trigger [OPTIONS] SOURCE [SCENARIO]" in missing
    assert "One of: aircall, " in missing
    assert "Did you mean twilio?" in run("links", "get", "twillio", "CA1", code=2).stderr


def test_trigger_writes_to_no_real_call_unasked(run: Run) -> None:
    """A simulated call that names a Buildr call would be written there."""
    call = ("trigger", "twilio", "answered", "--set", "buildr_call_id=110")
    settings = {"TWILIO_AUTH_TOKEN": "0" * 32, "BUILDR_ACCESS_TOKEN": "a-token", "PORT": "1"}
    result = run(*call, code=1, **settings)
    assert "check --live twilio" in result.stderr
    assert "api.buildr.com" in result.stderr
    # Each goes as far as the receiver, of which there is none.
    sandbox = {**settings, "BUILDR_API_URL": "http://127.0.0.1:9/api/2023-01"}
    for arguments, environ in ((("--write",), settings), ((), sandbox)):
        assert "no answer from" in run(*call, *arguments, code=1, **environ).stderr
    assert "no answer from" in run(*call[:3], code=1, **settings).stderr


def test_trigger_says_that_a_file_cannot_be_signed(run: Run, tmp_path: Path) -> None:
    """
    A source that signs what is in its JSON cannot sign a body that is none; that is one line,
    no traceback.
    """
    file = tmp_path / "request.json"
    file.write_text(
        json.dumps({"path": "/webhooks/justcall", "body_text": "no JSON"}), encoding="utf-8"
    )
    output = run(
        "trigger",
        "justcall",
        "--file",
        str(file),
        code=1,
        JUSTCALL_API_SECRET="fake-token-of-the-tests",
    )
    assert "buildr-calls: justcall: the body is not JSON" in output.stderr
