"""
The proxies of deploy/ leave a signed request as it is, and limit heads and bodies.
"""

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from service.webhook_urls import path_token, webhook_path
from tests.conftest import TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.e2e.harness import free_port, inherited, twilio_forms, wait_for

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy"
URL_SECRET = "url-secret-of-the-tests-of-32-characters"
PUBLIC = "https://hooks.example.test"
# What proxies like to tidy up: encoded and doubled slashes, spaces, order, empty and double names.
PATHS = (
    "/webhooks/twilio",
    "/webhooks/twilio?b=1&a=%2F..%2f&a=2&c=x+y%20z&d&e=&&%C3%A9=%7e~*'()&f=a//b/../c",
    "/webhooks/twilio/?buildr_call_id=110;x=1&plus=%2B15005550006",
)
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    include {folder}/site.conf;
}}
"""


@pytest.fixture(scope="module")
def receiver(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a receiver behind a public URL."""
    port = free_port()
    environment = {
        **inherited("PATH", "HOME", "LANG", "TMPDIR", kind="serve"),
        "PORT": str(port),
        "PUBLIC_URL": PUBLIC,
        "REDIS_URL": redis_server.url,
        "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
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


def _nginx(folder: Path, port: int, upstream: int) -> tuple[str, ...]:
    site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    # Over plain HTTP, and into this folder; all else is as it is.
    site = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", site)
    site = re.sub(r" +(?:listen \[::\]|ssl_certificate).*\n", "", site)
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    site = site.replace("/var/log/nginx", str(folder))
    (folder / "site.conf").write_text(site, encoding="utf-8")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder), encoding="utf-8")
    return ("nginx", "-p", str(folder), "-e", "error.log", "-c", str(folder / "nginx.conf"))


def _caddy(folder: Path, port: int, upstream: int) -> tuple[str, ...]:
    site = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    site = site.replace("calls.example.com {", f"http://:{port} {{\n\tbind 127.0.0.1")
    site = site.replace("{\n\tservers", "{\n\tadmin off\n\tservers", 1)
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    (folder / "Caddyfile").write_text(site, encoding="utf-8")
    return ("caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile")


@pytest.fixture(scope="module", params=[_nginx, _caddy], ids=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, receiver: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a proxy before the receiver."""
    folder = tmp_path_factory.mktemp("proxy")
    port = free_port()
    command = request.param(folder, port, receiver)
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} IS NOT INSTALLED: its file in deploy/ is not tried")
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
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: hooks.example.test",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@pytest.mark.parametrize("path", PATHS, ids=["plain", "odd", "slash"])
def test_signed_request_passes(proxy: int, path: str) -> None:
    """A Twilio webhook is proved genuine, however odd its address is."""
    form = twilio_forms(1)[0]
    signature = RequestValidator(TWILIO_TOKEN).compute_signature(PUBLIC + path, form)
    request = _post(
        path,
        urlencode(form),
        Content_Type="application/x-www-form-urlencoded",
        X_Twilio_Signature=signature,
    )
    assert _exchange(proxy, request).startswith(b"HTTP/1.1 20")


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
