"""
A server that ends TLS in front of a Redis on a unix socket, with a certificate authority made for
it.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CHUNK_BYTES: Final = 65536
DAY: Final = timedelta(days=1)
TIMEOUT_S: Final = 20


@dataclass(frozen=True)
class TlsServer:
    """Where it listens, and the file of the authority that has signed its certificate."""

    port: int
    authority: Path

    def url(self, **options: object) -> str:
        """The URL of the Redis behind it."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"rediss://127.0.0.1:{self.port}/0?{query}"


def make_authority(folder: Path, name: str) -> tuple[Path, ec.EllipticCurvePrivateKey]:
    """The file and the key of an authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(name, key.public_key(), key, issuer=name)
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path, key


def server_context(folder: Path, *, host: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """The file of an authority, and TLS for a server at `host` whose certificate it has signed."""
    authority, authority_key = make_authority(folder, "authority")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(
        "server", key.public_key(), authority_key, issuer="authority", host=host
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return authority, context


@contextlib.contextmanager
def tls_before(redis_socket: Path, folder: Path, *, host: str = "127.0.0.1") -> Iterator[TlsServer]:
    """Serve TLS for a Redis until the end of the block; the certificate is for `host`."""
    authority, context = server_context(folder, host=host)
    loop = asyncio.new_event_loop()
    # Handshakes that clients refuse are what some tests are about.
    loop.set_exception_handler(lambda *_: None)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        writers: list[asyncio.StreamWriter] = []
        starting = asyncio.run_coroutine_threadsafe(_serve(redis_socket, context, writers), loop)
        server = starting.result(TIMEOUT_S)
        port: int = server.sockets[0].getsockname()[1]
        yield TlsServer(port=port, authority=authority)
        asyncio.run_coroutine_threadsafe(_end(server, writers), loop).result(TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT_S)
        loop.close()


def _certificate(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    signing_key: ec.EllipticCurvePrivateKey,
    *,
    issuer: str,
    host: str | None = None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


async def _serve(
    redis_socket: Path, context: ssl.SSLContext, writers: list[asyncio.StreamWriter]
) -> asyncio.Server:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_unix_connection(str(redis_socket))
        writers.extend((writer, redis_writer))
        await asyncio.gather(_pass_on(reader, redis_writer), _pass_on(redis_reader, writer))

    return await asyncio.start_server(connect, "127.0.0.1", 0, ssl=context)


async def _end(server: asyncio.Server, writers: list[asyncio.StreamWriter]) -> None:
    """Close everything, so that nothing is left open when the event loop ends."""
    server.close()
    for writer in writers:
        writer.transport.abort()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), TIMEOUT_S)
    await asyncio.sleep(0)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
