"""
Signed messages through the proxies while something is done, and what became of each.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.faults.calls import WITH_ZOOM, CallKind, SimulatedCall
from tests.faults.http_client import HttpClient
from tests.faults.senders import SenderModel
from tests.faults.traffic import SentMessage, send

# The strictest: a message has one chance.
NEVER_AGAIN: Final = SenderModel(name="never again", response_timeout_s=15)
PAUSE_S: Final = 0.15


@dataclass(slots=True)
class Traffic:
    """Calls of four telephony systems, one after the other, by each proxy in turn."""

    ports: Sequence[int]
    admin_token: str
    calls: list[SimulatedCall] = field(default_factory=list)
    messages: list[SentMessage] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """How many messages were answered 2xx."""
        return sum(message.is_acknowledged for message in self.messages)

    @asynccontextmanager
    async def flowing(self, kinds: tuple[CallKind, ...] = WITH_ZOOM) -> AsyncIterator[None]:
        """Begin calls until the end of the block, and wait until all their messages were sent."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._flow(stop, kinds))
        try:
            yield
        finally:
            stop.set()
            await task

    async def send_again(self, calls: Sequence[SimulatedCall]) -> None:
        """Send all messages of some calls once more, as their sender or a backfill would."""
        for call in calls:
            client = HttpClient(self.ports[call.number % len(self.ports)])
            await self._link(call, client)
            for position, payload in enumerate(call.kind.payloads(call.number)):
                await send(SentMessage(call, position), payload, client)

    async def _flow(self, stop: asyncio.Event, kinds: tuple[CallKind, ...]) -> None:
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                number = len(self.calls)
                call = SimulatedCall(number, kinds[number % len(kinds)], NEVER_AGAIN)
                self.calls.append(call)
                group.create_task(self._send(call))
                await asyncio.sleep(PAUSE_S)

    async def _send(self, call: SimulatedCall) -> None:
        client = HttpClient(self.ports[call.number % len(self.ports)])
        await self._link(call, client)
        for position, payload in enumerate(call.kind.payloads(call.number)):
            message = SentMessage(call, position)
            self.messages.append(message)
            await send(message, payload, client)

    async def _link(self, call: SimulatedCall, client: HttpClient) -> None:
        """Say which call it is in Buildr, where its messages do not. Raises `RuntimeError`."""
        if not call.kind.needs_link:
            return
        path = f"/links/{call.kind.source}/{call.source_call_id}"
        headers = {
            "authorization": f"Bearer {self.admin_token}",
            "content-type": "application/json",
        }
        body = json.dumps({"buildr_call_id": call.buildr_call_id}).encode()
        answer = await client.request("PUT", path, headers=headers, body=body, timeout_s=30)
        if 200 <= answer.status < 300:
            return
        raise RuntimeError(f"no link was set: {answer.status} {answer.body[:200]!r}")
