"""
Sending: each message by its sender's rules, with everything written down that its sender saw.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from tests.faults.calls import CallKind, Json, SimulatedCall
from tests.faults.http_client import Ending, HttpClient
from tests.faults.signing import sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """
    What is sent: `calls` of these kinds in turn, begun evenly over `over_s` seconds.

    At most `at_once` calls are under way, None for no limit. With `keeps` connections are used
    again.
    """

    calls: int
    over_s: float
    kinds: tuple[CallKind, ...]
    keeps: bool = False
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt; times in seconds since 1970."""

    began_at: float
    ended_at: float
    ending: Ending
    status: int


@dataclass(slots=True)
class SentMessage:
    """One message and its attempts."""

    call: SimulatedCall
    position: int
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        """Whether its sender has got a 2xx in time."""
        return bool(self.attempts) and self.attempts[-1].ending is Ending.ACKNOWLEDGED

    @property
    def acknowledgement_s(self) -> float:
        """How long the attempt took that was acknowledged."""
        return self.attempts[-1].ended_at - self.attempts[-1].began_at


@dataclass(slots=True)
class Senders:
    """All senders of a trial; the receivers get requests in turn."""

    traffic: Traffic
    ports: Sequence[int]
    messages: list[SentMessage] = field(default_factory=list)

    async def run(self, calls: Sequence[SimulatedCall]) -> None:
        """Send everything and return when each sender has its 2xx or has given up."""
        clients = [HttpClient(port, keeps=self.traffic.keeps) for port in self.ports]
        in_turn = cycle(clients)
        limit = asyncio.Semaphore(self.traffic.at_once or len(calls) + 1)
        began = time.monotonic()
        pause_s = self.traffic.over_s / max(1, len(calls))
        async with asyncio.TaskGroup() as group:
            for place, call in enumerate(calls):
                await limit.acquire()
                await asyncio.sleep(max(0.0, began + place * pause_s - time.monotonic()))
                task = group.create_task(self._send_call(call, next(in_turn)))
                task.add_done_callback(lambda _: limit.release())
        for client in clients:
            client.close()

    async def _send_call(self, call: SimulatedCall, client: HttpClient) -> None:
        payloads = call.kind.payloads(call.number)
        messages = [SentMessage(call, position) for position in range(len(payloads))]
        self.messages.extend(messages)
        if call.kind.is_in_turn:
            for message, payload in zip(messages, payloads, strict=True):
                await send(message, payload, client)
            return
        async with asyncio.TaskGroup() as group:
            for message, payload in zip(messages, payloads, strict=True):
                group.create_task(send(message, payload, client))
                await asyncio.sleep(call.kind.spacing_s)


async def send(message: SentMessage, payload: Json, client: HttpClient) -> None:
    """Send one message until it is acknowledged or its sender gives up."""
    model = message.call.model
    first_at = time.time()
    while True:
        began_at = time.time()
        request = sign(message.call, message.position, payload, now=began_at)
        timeout_s = model.response_timeout_s
        if model.total_s is not None:
            timeout_s = min(timeout_s, first_at + model.total_s - began_at)
        answer = await client.request(
            "POST", request.path, headers=request.headers, body=request.body, timeout_s=timeout_s
        )
        message.attempts.append(Attempt(began_at, time.time(), answer.ending, answer.status))
        if answer.ending is Ending.ACKNOWLEDGED:
            return
        delay_s = model.delay_s(answer.ending, len(message.attempts) - 1)
        if delay_s is None or _is_over(first_at, delay_s, model.total_s):
            return
        await asyncio.sleep(delay_s)


def _is_over(first_at: float, delay_s: float, total_s: float | None) -> bool:
    return total_s is not None and time.time() + delay_s >= first_at + total_s
