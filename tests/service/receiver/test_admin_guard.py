"""
Guessing of admin tokens: slowed for its address, and for nobody else.
"""

import ipaddress
from collections.abc import Callable

import httpx
import pytest
from structlog.testing import capture_logs

from service.receiver.admin_guard import FREE_FAILURES, MAX_DELAY_S, AdminGuard
from service.receiver.app import create_app
from service.receiver.client_address import client_address
from service.settings import Installation, Settings
from service.store.connection import Store
from tests.conftest import ADMIN_TOKEN

ADDRESS = "203.0.113.7"
RIGHT = b"digest of a right token"
WRONG = b"digest of a wrong token"
PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def test_delay_begins_after_a_few_failures_and_grows() -> None:
    """A typing mistake costs nothing; then 1, 2, 4 seconds, and at most a minute."""
    clock = Clock()
    guard = AdminGuard(clock=clock)
    delays = []
    for _ in range(FREE_FAILURES + 9):
        guard.note_failure(ADDRESS)
        delays.append(max(0.0, guard.wait_s(ADDRESS, WRONG)))
        clock.now_s += delays[-1]
    assert [0.0] * (FREE_FAILURES - 1) + [1, 2, 4, 8, 16, 32] == delays[: FREE_FAILURES + 5]
    assert MAX_DELAY_S == max(delays)


def test_failures_are_forgotten_in_time() -> None:
    """Somebody who guessed yesterday begins anew."""
    clock = Clock()
    guard = AdminGuard(clock=clock)
    for _ in range(FREE_FAILURES + 5):
        guard.note_failure(ADDRESS)
    clock.now_s += 86_400
    guard.note_failure(ADDRESS)
    assert guard.wait_s(ADDRESS, WRONG) <= 0


def test_token_that_was_right_from_there_works_while_its_address_waits() -> None:
    """Who shares an address with a client cannot lock it out; other addresses are free too."""
    guard = AdminGuard(clock=Clock())
    guard.note_success(ADDRESS, RIGHT)
    for _ in range(FREE_FAILURES + 5):
        guard.note_failure(ADDRESS)
    assert guard.wait_s(ADDRESS, RIGHT) <= 0 < guard.wait_s(ADDRESS, WRONG)
    assert guard.wait_s("203.0.113.8", WRONG) <= 0


def test_table_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood from many addresses takes a fixed amount of memory; the oldest makes room."""
    monkeypatch.setattr("service.receiver.admin_guard.MAX_ADDRESSES", 3)
    guard = AdminGuard(clock=Clock())
    for number in range(5):
        for _ in range(FREE_FAILURES):
            guard.note_failure(f"203.0.113.{number}")
    waiting = [number for number in range(5) if guard.wait_s(f"203.0.113.{number}", WRONG) > 0]
    assert [2, 3, 4] == waiting


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("203.0.113.7", {}, "203.0.113.7"),
        ("203.0.113.7", {"x-forwarded-for": ("198.51.100.1",)}, "203.0.113.7"),
        ("10.0.0.1", {"x-forwarded-for": ("198.51.100.1",)}, "198.51.100.1"),
        ("::ffff:10.0.0.1", {"x-forwarded-for": ("198.51.100.1:4711",)}, "198.51.100.1"),
        ("10.0.0.1", {"x-forwarded-for": ("1.2.3.4, 198.51.100.1", "10.9.9.9")}, "198.51.100.1"),
        ("10.0.0.1", {"x-forwarded-for": ("198.51.100.1, nonsense",)}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": ("10.0.0.2",)}, "10.0.0.2"),
        ("10.0.0.1", {"forwarded": ('for="[2001:db8::7]:99";proto=https',)}, "2001:db8::/64"),
        ("fd00::1", {"x-forwarded-for": ("2001:db8::1",)}, "2001:db8::/64"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("not an address", {}, "unknown"),
        (None, {"x-forwarded-for": ("198.51.100.1",)}, "unknown"),
    ],
)
def test_address_is_what_trusted_proxies_report(
    peer: str | None, headers: dict[str, tuple[str, ...]], expected: str
) -> None:
    """What a sender writes itself, left of the first untrusted address, does not count."""
    client = None if peer is None else (peer, 4711)
    assert expected == client_address({"client": client}, headers, PROXIES)


async def test_guessing_is_logged_and_slowed(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    """
    Hundreds of wrong tokens are a few lines with the address, and 429 after the first ones; the
    client behind another address gets its answer.
    """
    settings = make_settings(ADMIN_TOKEN=ADMIN_TOKEN, TRUSTED_PROXIES="127.0.0.1")
    app = create_app(Installation(settings), store=store)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://in.example.test") as client:

        async def read(token: str, address: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {token}", "x-forwarded-for": address}
            return await client.get("/links/twilio/CA1", headers=headers)

        with capture_logs() as entries:
            answers = [await read(f"guess-{number}", "203.0.113.66") for number in range(200)]
        statuses = [answer.status_code for answer in answers]
        blocked = await read(ADMIN_TOKEN, "203.0.113.66")
        other = await read(ADMIN_TOKEN, "203.0.113.5")
    assert [401] * FREE_FAILURES == statuses[:FREE_FAILURES]
    assert statuses.count(401) < 20
    assert 429 == statuses[-1]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= MAX_DELAY_S
    assert (429, 404) == (blocked.status_code, other.status_code)
    lines = [entry for entry in entries if entry["event"] == "admin.rejected"]
    assert 10 == len(lines)
    assert {"203.0.113.66"} == {entry["client"] for entry in lines}
    assert "guess" not in str(entries)
