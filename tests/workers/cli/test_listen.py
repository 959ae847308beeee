"""
`listen`: messages of another instance, signed anew and sent here; nothing is written there.
"""

import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
import pytest
from msgspec.structs import replace
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from service.errors import SettingsError
from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.request import CALL_LOG
from service.sources.settings import Secrets
from service.store.messages import Message
from service.webhook_urls import strip_credentials, verified_buildr_call_id
from tests.conftest import TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.workers.cli.conftest import Run, Seed, ended
from workers.cli import listen
from workers.cli.listen_forward import NotForwarded, signed_here
from workers.cli.listen_origin import Origin, OriginCall, read_origin
from workers.simulator.scenarios import load, names

CALL = "CA00000000000000000000000000000001"
NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)
THERE = "https://calls.example.com"
HERE = "https://hooks.example.test"


def stored_message(slug: str, *, query: str = "") -> Message:
    """A message of a source as an instance stores it, signed with a secret of there."""
    source = SOURCES[slug]
    scenario = load(slug, names(slug)[0])
    requests = scenario.build_requests(
        {}, base_url=THERE, start_at=datetime.now(UTC), rng=random.Random(1)
    )
    unsigned = requests[0]
    if query:
        unsigned = replace(unsigned, url=f"{THERE}/webhooks/{slug}?{query}")
    signed = source.sign(unsigned, Secrets((source.settings[0].generate(),)), datetime.now(UTC))
    redacted = source.redact(signed)
    kept_headers = {"content-type", *source.kept_headers}
    headers = {name: values for name, values in redacted.headers.items() if name in kept_headers}
    request = redacted.with_parts(
        url=strip_credentials(redacted.url), headers=headers, buildr_call_id=None
    )
    return Message(
        message_id="m1", source=slug, source_call_id="1", received_at=NOW, request=request
    )


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """Settings of here, with a secret of its own for every source."""
    secrets = {
        source.settings[0].name.upper(): source.settings[0].generate()
        for source in SOURCES.values()
    }
    return make_settings(URL_SECRET="1" * 64, **secrets)


@pytest.mark.parametrize("slug", sorted(SOURCES))
def test_a_stored_message_is_proved_here_and_is_the_same_message(
    slug: str, settings: Settings
) -> None:
    """By the secrets of here, at the address that its source has here."""
    message = stored_message(slug)
    signed = signed_here(message, settings)
    SOURCES[slug].verify(signed, settings.secrets_of(slug), datetime.now(UTC))
    assert signed.url.startswith(f"{HERE}/webhooks/{slug}")
    assert SOURCES[slug].requires_path_token == ("/t/" in signed.url)
    expected = SOURCES[slug].keys(message.request)
    assert expected == SOURCES[slug].keys(SOURCES[slug].redact(signed))


def test_an_id_in_an_address_is_proved_here_only_if_it_was_there(settings: Settings) -> None:
    """Otherwise a call would be matched here that was not there."""
    message = stored_message("vonage", query="buildr_call_id=110")
    assert message.request.buildr_call_id is None
    url = signed_here(message, settings).url
    assert (None, True) == (
        verified_buildr_call_id(settings.url_secrets, "vonage", url)[0],
        "buildr_call_id=110" in url,
    )
    proved = replace(message, request=replace(message.request, buildr_call_id="110"))
    url = signed_here(proved, settings).url
    assert ("110", None) == verified_buildr_call_id(settings.url_secrets, "vonage", url)


def test_what_cannot_be_sent_is_named(
    settings: Settings, make_settings: Callable[..., Settings]
) -> None:
    """A source that is off here, one that this version does not have, and records of call logs."""
    message = stored_message("zoom")
    with pytest.raises(NotForwarded, match="set ZOOM_SECRET_TOKEN here"):
        signed_here(message, make_settings())
    log_record = WebhookRequest(
        method="POST", url=THERE, headers={CALL_LOG: ("2026-11-02T10:00:00Z",)}, body=b""
    )
    cases = ((log_record, "zoom", "call log"), (log_record, "acme", "no source named acme"))
    for request, slug, reason in cases:
        other = Message(
            message_id="m1", source=slug, source_call_id="1", received_at=NOW, request=request
        )
        with pytest.raises(NotForwarded, match=reason):
            signed_here(other, settings)


def test_of_the_instance_only_the_place_of_its_records_is_read(tmp_path: Path) -> None:
    """Neither secrets nor faults of its other settings matter here."""
    file = tmp_path / "production.env"
    file.write_text(
        "REDIS_URL=redis://:pw@cache:6379/3\nACCOUNT=live\nBUILDR_CLIENT_SECRET=half\nPORT=no\n"
    )
    there = read_origin(str(file), None)
    assert ("redis://:pw@cache:6379/3", "live") == (there.redis_dsn, there.account)
    assert not there.has_buildr_credentials
    assert "acme" == read_origin(str(file), "acme").account
    assert "redis://cache/1" == read_origin("redis://cache/1", None).redis_dsn
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "local.toml").write_text('redis_url = "unix:///run/r.sock"\n')
    assert "unix:///run/r.sock" == read_origin(str(tmp_path), None).redis_dsn
    for text in ("redis://:pw@cache/1", str(tmp_path / "nothing")):
        with pytest.raises(click.UsageError):
            read_origin(text, None)
    file.write_text("no line of a setting\n")
    with pytest.raises((click.ClickException, SettingsError)):
        read_origin(str(file), None)


@contextmanager
def local_server(*statuses: int) -> Iterator[tuple[str, list[WebhookRequest]]]:
    """
    A server that is sandbox and receiver at once: its address, and what it was sent. It answers
    webhooks with these statuses, then with 204.
    """
    requests: list[WebhookRequest] = []
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        """Answers each request."""

        def do_GET(self) -> None:
            """The state of the sandbox."""
            self._answer(200, b"{}")

        def do_POST(self) -> None:
            """A webhook."""
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): (value,) for name, value in self.headers.items()}
            url = f"http://{self.headers['host']}{self.path}"
            requests.append(WebhookRequest(method="POST", url=url, headers=headers, body=body))
            status = 204
            if left:
                status = left.pop(0)
            self._answer(status, json.dumps({"detail": "no such luck"}).encode())

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body) * (code != 204)))
            self.end_headers()
            self.wfile.write(body * (code != 204))

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def origin(redis_url: str, tmp_path: Path) -> str:
    """The file of an instance whose records are in the default account of the test's Redis."""
    file = tmp_path / "there.env"
    file.write_text(f"REDIS_URL={redis_url}\n")
    return str(file)


def test_messages_are_sent_once_with_their_link_and_nothing_is_written_there(
    run: Run, seed: Seed, origin: str, redis_server: RedisServer
) -> None:
    """What a call is in Buildr there becomes a link here."""
    seed(ended(CALL), query="buildr_call_id=110")
    with Redis(unix_socket_path=str(redis_server.socket)) as client:
        there = {key: client.dump(key) for key in client.keys("bc:default:*")}
        with local_server() as (url, requests):
            variables = {"ACCOUNT": "here", "PUBLIC_URL": url, "BUILDR_API_URL": url}
            options = ("--forward-from", origin, "--to", url, "--since", "1h", "--once")
            output = run("listen", *options, **variables).output
            assert "1 taken, 0 not, 0 no longer kept" in output
            assert "0 taken" in run("listen", *options, "--source", "zoom", **variables).output
            assert "0 taken" in run("listen", *options[:4], "--once", **variables).output
        assert there == {key: client.dump(key) for key in client.keys("bc:default:*")}
        link = client.get(f"bc:here:link:twilio:{CALL}")
        assert isinstance(link, bytes)
        assert "110" == json.loads(link)["buildr_call_id"]
    (request,) = requests
    SOURCES["twilio"].verify(request, Secrets((TWILIO_TOKEN,)), datetime.now(UTC))
    assert {"buildr_call_id": ["110"]} == parse_qs(urlsplit(request.url).query)


def test_what_is_refused_here_is_named_and_the_command_fails(
    run: Run, seed: Seed, origin: str
) -> None:
    """With the receiver's own reason."""
    seed(ended(CALL))
    with local_server(401) as (url, _):
        options = ("--forward-from", origin, "--to", url, "--since", "1h", "--once")
        variables = {"ACCOUNT": "here", "BUILDR_API_URL": url}
        output = run("listen", *options, code=1, **variables).output
        assert "401 no such luck" in output
        variables["TWILIO_AUTH_TOKEN"] = ""
        output = run("listen", *options, code=1, **variables).output
        assert "not sent: set TWILIO_AUTH_TOKEN here" in output


def test_nothing_is_sent_where_the_real_buildr_or_another_machine_could_be_reached(
    run: Run, origin: str
) -> None:
    """Nor to itself, nor where nobody answers."""
    options = ("--forward-from", origin, "--once")
    assert "not to a sandbox" in run("listen", *options, code=1).output
    away = {"BUILDR_API_URL": "http://127.0.0.1:9", "ACCOUNT": "here"}
    assert "no sandbox answers" in run("listen", *options, code=1, **away).output
    remote = (*options, "--to", "http://example.com")
    assert "--allow-remote" in run("listen", *remote, code=1).output
    with local_server() as (url, _):
        same = run("listen", *options, code=1, BUILDR_API_URL=url).output
        assert "names the records of here" in same
        variables = {"BUILDR_API_URL": url, "REDIS_URL": "redis://127.0.0.1:9/0"}
        assert "127.0.0.1:9" in run("listen", *options, code=1, **variables).output


def test_it_goes_on_until_ctrl_c_and_tries_a_busy_receiver_and_a_redis_that_is_away_again(
    run: Run, seed: Seed, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same message is sent again, and Redis is read again."""
    seed(ended(CALL))
    pauses: list[float] = []
    read = Origin.calls

    async def interrupted(self: Origin) -> AsyncIterator[OriginCall]:
        if len(pauses) == 2:
            raise RedisConnectionError("cut")
        async for call in read(self):
            yield call

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Origin, "calls", interrupted)
    monkeypatch.setattr(listen, "pause", pause)
    with local_server(503) as (url, requests):
        options = ("--forward-from", origin, "--to", url, "--since", "1h")
        output = run("listen", *options, ACCOUNT="here", BUILDR_API_URL=url).output
    assert 2 == len(requests)
    assert "204 accepted" in output
    assert "; tried again" in output


def test_a_receiver_that_is_not_there_is_named(run: Run, seed: Seed, origin: str) -> None:
    """The command that starts one is, too."""
    seed(ended(CALL))
    with local_server() as (url, _):
        options = ("--forward-from", origin, "--to", "http://127.0.0.1:9", "--since", "1h")
        variables = {"ACCOUNT": "here", "BUILDR_API_URL": url}
        output = run("listen", *options, code=1, **variables).output
    assert "no receiver answers at http://127.0.0.1:9" in output
    assert "run --any-call" in output


def test_a_sandbox_for_any_call_goes_without_credentials(run: Run) -> None:
    """Otherwise `run` would write to the real Buildr."""
    output = run("run", "--any-call", code=2, BUILDR_ACCESS_TOKEN="a-token").output
    assert "--any-call is for the sandbox" in output
