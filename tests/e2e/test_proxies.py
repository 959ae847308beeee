"""
The proxies of deploy/ leave a signed request as it is, and limit heads and bodies.
"""

import itertools
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from service.settings import Settings
from service.sources import WebhookRequest
from service.webhook_urls import path_token, webhook_path
from tests.doubles.redis import RedisServer
from tests.doubles.tls import make_authority
from tests.e2e.harness import free_port, inherited, wait_for
from tests.e2e.proxies import (
    DEPLOY,
    PROXIES,
    as_sent,
    is_installed,
    nginx_with_tls,
    odd_paths,
    signed_request,
)
from tests.sources.cases import CONTRACTS, proof_setting

pytestmark = pytest.mark.slow

URL_SECRET = "url-secret-of-the-tests-of-32-characters"
PUBLIC = "https://hooks.example.test"
SIGNING_THE_ADDRESS = tuple(slug for slug, contract in CONTRACTS.items() if contract.signs_url)


@pytest.fixture(scope="module")
def receiver(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a receiver behind a public URL."""
    port = free_port()
    environment = {
        **inherited("PATH", "HOME", "LANG", "TMPDIR", kind="serve"),
        "PORT": str(port),
        "PUBLIC_URL": PUBLIC,
        "REDIS_URL": redis_server.url,
        **{proof_setting(slug): CONTRACTS[slug].secrets[0] for slug in SIGNING_THE_ADDRESS},
        "RINGCENTRAL_VERIFICATION_TOKEN": "verification-token-of-the-tests",
        "URL_SECRET": URL_SECRET,
        "BUILDR_ACCESS_TOKEN": "token-of-the-tests",
        "DATA_DIR": str(tmp_path_factory.mktemp("receiver")),
    }
    command = (sys.executable, "-m", "workers.cli.main", "serve")
    with _running(command, port, environment):
        yield port


@contextmanager
def _running(command: tuple[str, ...], port: int, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: _is_open(port), goal=command[0])
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _is_open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module", params=sorted(PROXIES))
def proxy(
    request: pytest.FixtureRequest, receiver: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a proxy before the receiver."""
    if not is_installed(request.param):
        pytest.skip(f"{request.param} IS NOT INSTALLED: its file in deploy/ is not tried")
    folder = tmp_path_factory.mktemp("proxy")
    port = free_port()
    command = PROXIES[request.param](folder, port, [receiver])
    environment = inherited("PATH", kind="proxy") | {"HOME": str(folder)}
    with _running(command, port, environment):
        yield port


def _exchange(port: int, request: bytes) -> bytes:
    """The answer to one request, byte for byte as it is given."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            # What is refused may be cut off.
            pass
        return answer


def _post(path: str, body: str, **headers: str) -> bytes:
    given_headers = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    request = WebhookRequest(
        method="POST", url=PUBLIC + path, headers=given_headers, body=body.encode()
    )
    return as_sent(request)


@pytest.mark.parametrize("slug", SIGNING_THE_ADDRESS)
def test_signed_addresses_pass(proxy: int, slug: str) -> None:
    """A webhook whose proof covers its address is genuine, however odd that address is."""
    for path in odd_paths(slug):
        answer = _exchange(proxy, as_sent(signed_request(slug, PUBLIC, path)))
        assert answer.startswith(b"HTTP/1.1 20"), path


@pytest.mark.parametrize("slug", SIGNING_THE_ADDRESS)
def test_changed_addresses_are_refused(proxy: int, slug: str) -> None:
    """Of two odd addresses that proxies like to make one, only the one that was signed counts."""
    first, *_, last = odd_paths(slug)
    request = replace(signed_request(slug, PUBLIC, last), url=PUBLIC + first + "?x=1")
    assert _exchange(proxy, as_sent(request)).startswith(b"HTTP/1.1 401 ")


def test_handshake_passes(proxy: int) -> None:
    """RingCentral's handshake is answered with its token."""
    path = webhook_path("ringcentral", account=None, token=path_token(URL_SECRET, "ringcentral"))
    answer = _exchange(proxy, _post(path, "", Validation_Token="abc-123"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nvalidation-token: abc-123\r\n" in answer.lower()


def test_large_heads_and_bodies_are_refused(proxy: int) -> None:
    """By the proxy, before they reach the receiver."""
    head = _exchange(proxy, _post("/webhooks/twilio", "", X_Long="a" * 60_000))
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    body = _exchange(proxy, _post("/webhooks/twilio", "a" * 1_100_000))
    assert not body.startswith(b"HTTP/1.1 2")


def test_caddy_waits_longer_for_a_body_than_the_receiver() -> None:
    """Else Caddy ends it, and answers 200 to a message that has not arrived."""
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    (seconds,) = re.findall(r"^\t+read_body (\d+)s$", text, re.MULTILINE)
    assert int(seconds) > Settings.model_fields["body_timeout_s"].default


class _Draining(BaseHTTPRequestHandler):
    """A receiver that is not ready before the third time that it is asked."""

    checks = itertools.count()

    def do_GET(self) -> None:
        """Answer a health check."""
        is_ready = next(self.checks) >= 2
        self._answer(HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)

    def do_POST(self) -> None:
        """Take a message whose body is whole."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(HTTPStatus.ACCEPTED if body == b"a=b" else HTTPStatus.BAD_REQUEST)

    def log_message(self, format: str, *arguments: object) -> None:
        """Write nothing."""

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_messages_wait_at_caddy_until_a_receiver_is_ready(tmp_path: Path) -> None:
    """While the only receiver is replaced, senders that never retry lose nothing."""
    if not is_installed("caddy"):
        pytest.skip("caddy IS NOT INSTALLED: deploy/Caddyfile is not tried")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Draining) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = free_port()
        command = PROXIES["caddy"](tmp_path, port, [server.server_port])
        environment = inherited("PATH", kind="proxy") | {"HOME": str(tmp_path)}
        with _running(command, port, environment):
            answer = _exchange(port, _post("/webhooks/twilio", "a=b"))
        server.shutdown()
    assert answer.startswith(b"HTTP/1.1 202 "), answer


def test_caddyfile_is_valid(tmp_path: Path) -> None:
    """As it is in deploy/, with its name and certificate, and in the form of `caddy fmt`."""
    if not is_installed("caddy"):
        pytest.skip("caddy IS NOT INSTALLED: deploy/Caddyfile is not checked")
    path = str(DEPLOY / "Caddyfile")
    environment = inherited("PATH", kind="proxy") | {"HOME": str(tmp_path)}
    for command in (("adapt", "--config", path, "--validate"), ("fmt", path)):
        result = subprocess.run(
            ("caddy", *command), env=environment, capture_output=True, text=True, check=False
        )
        assert 0 == result.returncode, result.stderr
    assert (DEPLOY / "Caddyfile").read_text(encoding="utf-8") == result.stdout


def test_nginx_file_is_valid(tmp_path: Path) -> None:
    """As it is in deploy/, with TLS, but for its ports, its log and where its certificate is."""
    if not is_installed("nginx"):
        pytest.skip("nginx IS NOT INSTALLED: deploy/nginx.conf is not checked")
    certificate, private_key = make_authority(tmp_path, "calls.example.com")
    key = tmp_path / "key.pem"
    key.write_bytes(private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    command = nginx_with_tls(tmp_path, free_port(), certificate, key)
    result = subprocess.run((command[0], "-t", *command[1:]), capture_output=True, check=False)
    assert 0 == result.returncode, result.stderr
    assert b"[warn]" not in result.stderr
