"""
A server on a free port that takes whatever is POSTed to it, and answers as a test says.
"""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

TIMEOUT_S: Final = 20


@dataclass
class Hook:
    """
    What was received: paths and bodies. While `is_hanging` no answer comes until `release`.
    """

    port: int = 0
    status: int = HTTPStatus.OK
    is_hanging: bool = False
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address, with a secret in its path as Slack's have."""
        return f"http://127.0.0.1:{self.port}/services/T000/B000/fake-secret-of-a-webhook"

    def take(self, path: str, body: bytes) -> int:
        """Keep a request, and return the status of its answer."""
        self.paths.append(path)
        self.bodies.append(body)
        self.arrived.release()
        if self.is_hanging:
            self._released.wait(TIMEOUT_S)
        return self.status

    def wait(self) -> None:
        """Wait until another request has come."""
        assert self.arrived.acquire(timeout=TIMEOUT_S)

    def release(self) -> None:
        """Let all be answered."""
        self._released.set()


@contextmanager
def hook_server() -> Iterator[Hook]:
    """Serve one until the end of the block."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            status = hook.take(self.path, body)
            try:
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")
            # Whoever has asked did not wait.
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hook
        finally:
            hook.release()
            server.shutdown()
            thread.join(TIMEOUT_S)
