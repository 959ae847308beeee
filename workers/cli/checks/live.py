"""
`buildr-calls check --live SOURCE`: one test call of a source, from its signature to the PATCH that
would be sent.

Only this command makes a call a test call: by a link in Redis, set before the first message leaves.
A worker plans such a call and writes nothing; see `workers.delivery.dry_run`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.keys import ref_of
from service.store.links import Link
from workers.cli.accounts import command_line
from workers.cli.checks.finding import Finding
from workers.cli.checks.live_messages import Sent, TestCall, send
from workers.cli.checks.public_url import other_installation, reach, receiver_url
from workers.delivery.dry_run import NO_BUILDR_CALL, WOULD_FAIL, WOULD_WRITE

# Beyond the time for which the source's calls settle: a worker takes a due call within a second.
WORKER_TIMEOUT_S: Final = 30.0
ERASE_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.1
# A message that waits in a spool comes later, and must find a test call.
KEEP_LINK_S: Final = 86_400
AT_REST: Final = frozenset(
    {DeliveryState.LEFT_ALONE, DeliveryState.STALLED, DeliveryState.UNMATCHED}
)


class LiveCheck(Struct):
    """One test call; `steps` gives a finding for each step, the last one is where it ended."""

    settings: Settings
    store: Store
    # Of the account whose records the receiver names.
    receiver_store: Store
    call: TestCall
    _sent: Sent = field(default_factory=Sent)
    _last_at: datetime | None = None
    _is_seen: bool = False
    _may_come_later: bool = False

    @property
    def ref(self) -> str:
        """The name of the test call."""
        return ref_of(self.call.source, self.call.source_call_id)

    async def steps(self) -> AsyncIterator[Finding]:
        """Run it, step by step; what it has left behind is deleted. Raises redis-py's errors."""
        before = [await self._receiver(), await self._workers()]
        for finding in before:
            yield finding
        if not all(finding.is_fine for finding in before):
            return
        link = Link(buildr_call_id=NO_BUILDR_CALL, replaces=True, is_test=True)
        call = self.call
        await self.store.links.put_test(call.source, call.source_call_id, link, keep_s=KEEP_LINK_S)
        try:
            async for finding in self._follow():
                yield finding
        finally:
            left = await self._clean_up()
        yield left

    async def _receiver(self) -> Finding:
        url = receiver_url(self.settings)
        reached = await reach(url)
        if reached.fault is not None:
            return Finding("public url", is_fine=False, detail=reached.fault)
        identity = await self.receiver_store.identity.read()
        if reached.identity is None:
            detail = f"{url} does not show whose receiver it is; nothing is sent to it"
            return Finding("public url", is_fine=False, detail=detail)
        if reached.identity != identity:
            return Finding("public url", is_fine=False, detail=other_installation(url))
        return Finding("public url", is_fine=True, detail=f"{url} reaches this receiver")

    async def _workers(self) -> Finding:
        count = await self.store.workers.count()
        if count:
            return Finding("workers", is_fine=True, detail=f"{count} alive")
        detail = "none is alive, so that nothing is sent: start buildr-calls work, or its service"
        return Finding("workers", is_fine=False, detail=detail)

    async def _follow(self) -> AsyncIterator[Finding]:
        last = await self.store.source_activity.last()
        self._last_at = last.get(("message", self.call.source))
        sent = await self._send()
        yield sent
        if not sent.is_fine:
            return
        record = await self._wait()
        if record is None:
            yield self._unread()
            return
        yield Finding("worker", is_fine=True, detail="has read them")
        result = record.result or "has no result yet"
        yield Finding("result", is_fine=record.result is not None, detail=result)
        yield self._ended(record)

    async def _send(self) -> Finding:
        source = SOURCES[self.call.source]
        refused = None
        async for answer in send(self.call, self.settings):
            if answer.fault is not None:
                refused = answer
                self._may_come_later = answer.may_come_later
                break
            self._sent.note(await self.store.server_time())
        if refused is not None:
            return Finding("message", is_fine=False, detail=refused.fault or "")
        # Emphasis of the docs.
        proof = source.proof.replace("*", "")
        detail = f"{self._sent.count} proved by {proof}: accepted; the call is {self.ref}"
        return Finding("message", is_fine=True, detail=detail)

    async def _wait(self) -> DeliveryRecord | None:
        """The record once the call is at rest, or when the time is over; None if unread."""
        settle_s = self.settings.settle_s.of(self.call.source)
        until = time.monotonic() + settle_s + WORKER_TIMEOUT_S
        record = None
        while time.monotonic() < until:
            stored = await self.store.calls.get(self.ref)
            if stored is not None:
                self._is_seen = True
                if stored.version:
                    record = stored.record
            if record is not None and record.state in AT_REST:
                break
            await asyncio.sleep(POLL_S)
        return record

    def _unread(self) -> Finding:
        if self._is_seen:
            detail = (
                f"no worker has read them within {WORKER_TIMEOUT_S:g} s: see its log, and "
                f"{command_line(self.settings, 'status')}"
            )
            return Finding("worker", is_fine=False, detail=detail)
        detail = (
            "accepted, but not in Redis: the receiver keeps them in its spool until its Redis "
            f"takes them; see {command_line(self.settings, 'check')}, and /readyz"
        )
        return Finding("redis", is_fine=False, detail=detail)

    def _ended(self, record: DeliveryRecord) -> Finding:
        if record.reason.startswith(WOULD_WRITE):
            body = record.reason.removeprefix(WOULD_WRITE)
            detail = f"{record.outcome} by the rule {record.rule}; would send PATCH {body}"
            return Finding("dry PATCH", is_fine=True, detail=detail)
        if record.reason.startswith(WOULD_FAIL):
            detail = f"would fail: {record.reason.removeprefix(WOULD_FAIL)}"
            return Finding("outcome", is_fine=False, detail=detail)
        if record.state is DeliveryState.LEFT_ALONE:
            detail = f"nothing would be sent: {record.reason}"
            return Finding("outcome", is_fine=True, detail=detail, is_warning=True)
        detail = (
            f"the call is still {record.state.value}: {record.reason}; "
            f"see {command_line(self.settings, 'check')}"
        )
        return Finding("outcome", is_fine=False, detail=detail)

    async def _clean_up(self) -> Finding:
        """Delete the call, its messages and its link, and what shows that its source has sent."""
        if self._sent.count:
            await self.store.source_activity.take_back(
                self.call.source, self._sent.hours, last_at=self._last_at
            )
        if (self._sent.count or self._may_come_later) and not self._is_seen:
            # The link stays: what comes out of a spool later, or of a receiver that was slow, is
            # then a test call too.
            detail = f"the link of {self.ref} stays for a day, for messages that come later"
            return Finding("clean-up", is_fine=True, detail=detail, is_warning=True)
        until = time.monotonic() + ERASE_TIMEOUT_S
        while await self.store.erasure.erase(self.ref) is None:
            if time.monotonic() >= until:
                command = command_line(self.settings, f"forget {self.ref}")
                detail = f"a worker is at the call just now; delete it: {command}"
                return Finding("clean-up", is_fine=True, detail=detail, is_warning=True)
            await asyncio.sleep(POLL_S)
        return Finding("clean-up", is_fine=True, detail="nothing of the call is left")
