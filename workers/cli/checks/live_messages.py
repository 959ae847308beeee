"""
The messages of a test call: made by a scenario of its source, signed with the source's own secret.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import httpx

from service.errors import MalformedPayload
from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.common.setting_checks import is_loopback
from workers.cli.failure import Failure
from workers.cli.receiver_answer import answer_text
from workers.simulator.requests import headers_of, signed_url, to_receiver
from workers.simulator.scenarios import load

# Every source has it: we called, and nobody answered.
SCENARIO: Final = "no-answer"
# Shown where the scenario has an agent, so that nobody takes the call for a real one.
AGENT: Final = "buildr-calls check"
TIMEOUT_S: Final = 15.0
HOUR_S: Final = 3600
CURES: Final[Mapping[int, str]] = {
    401: "the receiver has another secret or another PUBLIC_URL than this command: restart it with "
    "the same settings, and see that the proxy passes the address on as it is",
    403: "a proxy before the receiver refuses it",
    404: "the source is off at the receiver, or a proxy changes the path: restart the receiver "
    "with the same settings",
    405: "a proxy has followed a redirect: set PUBLIC_URL to the address itself",
    413: "a proxy allows smaller bodies only",
    502: "the proxy finds no receiver",
    503: "the receiver takes no messages now: see buildr-calls check",
    504: "the receiver does not answer the proxy in time",
}


@dataclass(frozen=True, slots=True)
class TestCall:
    """The unsigned requests of one call of a source."""

    source: str
    source_call_id: str
    requests: tuple[WebhookRequest, ...] = field(repr=False)


@dataclass(slots=True)
class Sent:
    """How many messages were accepted, and in which hours since 1970 (UTC)."""

    hours: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many there were."""
        return self.hours.total()

    def note(self, at: datetime) -> None:
        """Count one that was accepted at a moment (UTC)."""
        self.hours[int(at.timestamp()) // HOUR_S] += 1


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the receiver answered; `fault` says why a message was not accepted, with the cure. Without
    an answer it `may_come_later`.
    """

    status_code: int | None = None
    fault: str | None = None
    may_come_later: bool = False


def make_call(source: str, settings: Settings) -> TestCall:
    """A call with an id of its own. Ends the command where the source cannot sign here."""
    scenario = load(source, SCENARIO)
    values = {name: AGENT for name in ("agent",) if name in scenario.values}
    try:
        requests = scenario.build_requests(
            values,
            base_url=signed_url(settings),
            start_at=datetime.now(UTC),
            rng=random.SystemRandom(),
        )
        _sign(requests[0], source, settings)
    except (ValueError, MalformedPayload) as err:
        raise Failure(f"{source}: {err}; make a real call, and see: buildr-calls calls") from err
    keys = SOURCES[source].keys(SOURCES[source].redact(requests[0]))
    if keys.source_call_id is None:
        raise Failure(f"{source}: its first message names no call")
    return TestCall(
        source, keys.source_call_id, tuple(to_receiver(request, settings) for request in requests)
    )


async def send(call: TestCall, settings: Settings) -> AsyncIterator[Answer]:
    """Send the messages in their order; each answer, up to the first that was refused."""
    is_local = is_loopback(urlsplit(signed_url(settings)).hostname or "")
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=not is_local) as client:
        for request in call.requests:
            # When its turn comes, since a signature may hold a time.
            signed = _sign(request, call.source, settings)
            try:
                answer = await client.request(
                    signed.method, signed.url, content=signed.body, headers=headers_of(signed)
                )
            except httpx.HTTPError as err:
                never_left = isinstance(err, httpx.ConnectError | httpx.ConnectTimeout)
                fault = f"no answer ({type(err).__name__})"
                yield Answer(fault=fault, may_come_later=not never_left)
                return
            yield Answer(answer.status_code, _fault(answer))
            if not answer.is_success:
                return


def _sign(request: WebhookRequest, source: str, settings: Settings) -> WebhookRequest:
    return SOURCES[source].sign(request, settings.secrets_of(source), datetime.now(UTC))


def _fault(answer: httpx.Response) -> str | None:
    if answer.is_success:
        return None
    reason = answer_text(answer)
    if reason:
        reason = f" ({reason})"
    cure = CURES.get(answer.status_code, "see the receiver's log, and buildr-calls refused list")
    return f"refused with {answer.status_code}{reason}: {cure}"
