"""
Through both proxies: odd addresses that were signed, forged requests, and attacks on a receiver
that runs.
"""

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from service.clock import utc_now
from service.errors import MessageError
from service.sources import SOURCES, WebhookRequest
from service.sources.base import Source
from service.sources.settings import Secrets
from tests.attacks.forger import forged
from tests.attacks.live import STANDARD_SECRET, TWILIO_TOKEN, LiveRow, Target, attacks, run
from tests.e2e.harness import System
from tests.e2e.proxies import as_sent, odd_paths, signed_request
from tests.sources.cases import CONTRACTS, URL_SECRET, proof_setting

# An address with a port, which some vendors sign with it and some without.
PUBLIC_URLS: Final = ("https://hooks.example.test:8443", "https://hooks.example.test")
FORGED: Final = 20
# What deploy/nginx.conf and deploy/Caddyfile give a head.
HEAD_TIMEOUT_S: Final = 10.0
NO_ANSWER: Final = 0


def settings_of_all_sources() -> dict[str, str]:
    """The secrets of the contracts, and those with which the attacks sign."""
    settings = {proof_setting(slug): CONTRACTS[slug].secrets[0] for slug in SOURCES}
    settings["URL_SECRET"] = URL_SECRET
    settings["TWILIO_AUTH_TOKEN"] += f",{TWILIO_TOKEN}"
    settings["STANDARD_SECRET"] += f",{STANDARD_SECRET}"
    return settings


def slugs_that_sign_addresses() -> list[str]:
    """The sources whose proof covers the address."""
    return sorted(slug for slug, contract in CONTRACTS.items() if contract.signs_url)


async def refused_addresses(public_url: str, port: int) -> tuple[int, list[str]]:
    """How many signed requests were sent to odd addresses, and which were refused."""
    refused = []
    count = 0
    for slug in slugs_that_sign_addresses():
        for path in odd_paths(slug):
            status = await _status(port, signed_request(slug, public_url, path))
            count += 1
            if not 200 <= status < 300:
                refused.append(f"{public_url}{path}: {status}")
    return count, refused


async def taken_forgeries(port: int) -> tuple[int, list[str]]:
    """How many forged requests were sent, and which were answered 2xx."""
    taken = []
    count = 0
    for slug, request in forgeries(FORGED):
        count += 1
        status = await _status(port, request)
        if 200 <= status < 300:
            taken.append(f"{slug}: {request.method} {request.url}: {status}")
    return count, taken


def attack(folder: Path, redis_url: str, ports: Mapping[str, int]) -> Iterator[tuple[str, LiveRow]]:
    """Carry out each attack on each proxy, and say how genuine messages fared meanwhile."""
    for name, port in ports.items():
        system = System(folder, redis_url, TWILIO_TOKEN, STANDARD_SECRET)
        system.port = port
        system.url = f"http://127.0.0.1:{port}"
        target = Target(system, HEAD_TIMEOUT_S)
        try:
            for title, attempts, carry_out in attacks(1):
                yield name, run(target, f"{title} at {name}", attempts, carry_out)
        finally:
            system.stop()


def forgeries(count: int) -> Iterator[tuple[str, WebhookRequest]]:
    """At most so many requests of each source that must be refused."""
    for slug, source in SOURCES.items():
        secrets = Secrets(CONTRACTS[slug].secrets[:1])
        for request in itertools.islice(forged(slug), count):
            if not _is_set_up(source, request, secrets):
                yield slug, request


def _is_set_up(source: Source, request: WebhookRequest, secrets: Secrets) -> bool:
    """Whether it is what an address is set up with, which is answered and not kept."""
    try:
        source.check_headers(request, secrets)
        return source.handshake(request, secrets, utc_now()) is not None
    except MessageError:
        return False


async def _status(port: int, request: WebhookRequest) -> int:
    """The status of the answer, 0 where the connection was ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            writer.write(as_sent(request))
            line = await reader.readline()
        return int(line.split(b" ")[1])
    except (OSError, IndexError, TimeoutError):
        return NO_ANSWER
    finally:
        writer.close()
