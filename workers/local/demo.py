"""
The call that `run` simulates: four signed webhooks out of order and one of them twice, and what the
service makes of them.

Nothing is invented: the verdicts and steps are read from the log lines of receiver and
worker, paired by the call's id, and the end is read from the sandbox.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
from msgspec import Struct, field
from rich.text import Text

from service.logs.control_characters import one_line
from service.logs.events import LogEvent
from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.common.forms import read_form
from workers.local.data_folder import LocalRunError
from workers.local.terminal import LogLine, Screen
from workers.simulator.requests import headers_of, local_path
from workers.simulator.scenarios import load

SOURCE: Final = "twilio"
SCENARIO: Final = "answered"
# The third of the four comes first, the last one second, and that one once more.
ORDER: Final = (2, 3, 0, 3, 1)
TALK: Final = timedelta(seconds=60)
REQUEST_TIMEOUT_S: Final = 10.0
VERDICT_TIMEOUT_S: Final = 10.0
# A settling time, a permit, and a retry or two. A slow machine may take several of them.
END_TIMEOUT_S: Final = 45.0
NAME_WIDTH: Final = 10
FIRST: Final = frozenset(
    {
        LogEvent.MESSAGE_ACCEPTED,
        LogEvent.MESSAGE_DUPLICATE,
        LogEvent.MESSAGE_IGNORED,
        LogEvent.MESSAGE_REJECTED,
        LogEvent.MESSAGE_KEPT,
    }
)
LAST: Final = frozenset({LogEvent.JOB_DONE, LogEvent.JOB_FAILED})

VERDICTS: Final[Mapping[str, str]] = {
    LogEvent.MESSAGE_ACCEPTED: "genuine, kept, queued",
    LogEvent.MESSAGE_DUPLICATE: "known already, nothing to do",
    LogEvent.MESSAGE_IGNORED: "genuine, not wanted",
    LogEvent.MESSAGE_REJECTED: "refused",
    LogEvent.MESSAGE_KEPT: "genuine, not readable: filed as failed",
}

Fields = Mapping[str, object]


def _folded(fields: Fields) -> tuple[str, str]:
    state = "final" if fields.get("is_final") else "not final yet"
    return (
        "folded",
        (
            f"{_count(fields.get('event_count'))}: "
            f"{fields.get('result') or fields.get('stage') or 'open'} ({state})"
        ),
    )


def _count(events: object) -> str:
    return "1 event makes" if events == 1 else f"{events} events make"


def _matched(fields: Fields) -> tuple[str, str]:
    ways = {"message": "named by the signed webhook", "link": "by a link"}
    how = str(fields.get("reason"))
    return "matched", f"Buildr call {fields.get('buildr_call_id')}, {ways.get(how, how)}"


def _waiting(fields: Fields) -> tuple[str, str]:
    reasons = {
        "settle": "for late webhooks, so that all goes out in one PATCH",
        "budget": "for room in Buildr's rate limit",
        "outage": "until Buildr is back",
    }
    return (
        "waits",
        (
            f"{fields.get('retry_in_s')} s "
            f"{reasons.get(str(fields.get('reason')), fields.get('reason'))}"
        ),
    )


def _patched(fields: Fields) -> tuple[str, str]:
    sent = fields.get("fields")
    names = ", ".join(map(str, sent)) if isinstance(sent, list) else ""
    return "PATCH", (
        f"call {fields.get('buildr_call_id')} \N{LEFTWARDS ARROW} "
        f"{fields.get('outcome') or 'notes'} ({names}); "
        f"Buildr answered {fields.get('status_code')} in {fields.get('duration_ms', '?')} ms"
    )


STEPS: Final[Mapping[str, Callable[[Fields], tuple[str, str]]]] = {
    LogEvent.CALL_FOLDED: _folded,
    LogEvent.CALL_MATCHED: _matched,
    LogEvent.CALL_UNMATCHED: lambda fields: ("unmatched", str(fields.get("reason"))),
    LogEvent.CALL_LEFT_ALONE: lambda fields: ("left alone", str(fields.get("reason"))),
    LogEvent.DELIVERY_WAITING: _waiting,
    LogEvent.BUILDR_RATE_LIMITED: lambda fields: (
        "429",
        f"Buildr asks to wait {fields.get('retry_in_s')} s",
    ),
    LogEvent.BUILDR_PATCHED: _patched,
    LogEvent.JOB_RETRY_SCHEDULED: lambda fields: (
        "retries",
        f"{fields.get('reason')}, again in {fields.get('retry_in_s')} s",
    ),
    LogEvent.JOB_FAILED: lambda fields: ("failed", str(fields.get("reason"))),
}


class Demo(Struct, kw_only=True):
    """
    One call to simulate against a running service; `url` is the receiver's address on this machine,
    `settings` those that it has.

    `held_call` asks the sandbox for what Buildr holds of a call; None where there is no sandbox.
    """

    settings: Settings
    url: str
    buildr_call_id: str
    screen: Screen
    held_call: Callable[[str], Awaitable[str | None]] | None = None
    source_call_id: str | None = None
    _lines: "asyncio.Queue[LogLine]" = field(default_factory=asyncio.Queue)
    _later: list[LogLine] = field(default_factory=list)
    _started: float = 0.0

    def takes(self, line: LogLine) -> bool:
        """Whether a log line is about this call, and is printed."""
        is_ours = self.source_call_id is not None and line.source_call_id == self.source_call_id
        if is_ours:
            self._lines.put_nowait(line)
        return is_ours

    async def run(self) -> bool:
        """
        Send the webhooks and tell what becomes of them; true if Buildr then holds the outcome.
        Raises `LocalRunError`.
        """
        scenario = load(SOURCE, SCENARIO)
        requests = scenario.build_requests(
            {"buildr_call_id": self.buildr_call_id},
            base_url=self.settings.public_url or self.url,
            start_at=datetime.now(UTC) - TALK,
            # Ids that no earlier run had: the messages of a known call would be duplicates.
            rng=random.SystemRandom(),
        )
        self.source_call_id = SOURCES[SOURCE].keys(requests[0]).source_call_id
        self._started = time.monotonic()
        self.screen.say()
        self.screen.say(
            Text.assemble(
                ("One call, reported by Twilio out of order and once twice: ", "bold"),
                f"{SOURCE}:{self.source_call_id}",
            )
        )
        async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=False) as client:
            for place in ORDER:
                await self._send(client, requests[place])
        return await self._compare(await self._follow())

    async def _send(self, client: httpx.AsyncClient, request: WebhookRequest) -> None:
        signed = SOURCES[SOURCE].sign(request, self.settings.secrets_of(SOURCE), datetime.now(UTC))
        path = local_path(self.settings, signed)
        try:
            answer = await client.request(
                signed.method, f"{self.url}{path}", content=signed.body, headers=headers_of(signed)
            )
        except httpx.TransportError as err:
            raise LocalRunError(
                f"the receiver did not answer the demo's webhook ({type(err).__name__})"
            ) from err
        line = await self._verdict()
        value = dict(request.body_as(read_form)).get("CallStatus", "")
        verdict = (
            "no line in its log"
            if line is None
            else VERDICTS.get(line.event or "", line.event or "")
        )
        message_id = "" if line is None else str(line.fields.get("message_id") or "")
        self._tell("webhook", f"{value:<12} {answer.status_code}  {verdict}", message_id)

    async def _verdict(self) -> LogLine | None:
        """
        The receiver's line about the webhook that was just sent; other lines are kept for later.
        """
        try:
            async with asyncio.timeout(VERDICT_TIMEOUT_S):
                while True:
                    line = await self._lines.get()
                    if line.event in FIRST:
                        return line
                    self._later.append(line)
        except TimeoutError:
            return None

    async def _follow(self) -> str | None:
        """
        Print the worker's steps until the call is done; returns the outcome that Buildr got, or
        None.
        """
        outcome: str | None = None
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                while True:
                    line = self._later.pop(0) if self._later else await self._lines.get()
                    if (step := STEPS.get(line.event or "")) is not None:
                        self._tell(*step(line.fields), str(line.fields.get("message_id") or ""))
                    if line.event == LogEvent.BUILDR_PATCHED:
                        outcome = str(line.fields.get("outcome"))
                    if line.event in LAST and (
                        outcome is not None or line.event == LogEvent.JOB_FAILED
                    ):
                        return outcome
        except TimeoutError:
            self.screen.say(
                Text(f"Nothing more was heard of the call within {END_TIMEOUT_S:.0f} s.", "yellow")
            )
            return outcome

    async def _compare(self, outcome: str | None) -> bool:
        """Say what Buildr holds now."""
        if self.held_call is None or outcome is None:
            return outcome is not None
        stored = await self.held_call(self.buildr_call_id)
        is_there = stored == outcome
        self.screen.say(
            Text.assemble(
                ("Buildr now says: ", "bold"),
                (f"{stored or 'nothing'}", "bold green" if is_there else "bold red"),
                f"  (call {self.buildr_call_id})",
            )
        )
        return is_there

    def _tell(self, name: str, text: str, message_id: str = "") -> None:
        since = f"+{time.monotonic() - self._started:5.2f} s"
        self.screen.say(
            Text.assemble(
                (f"  {since}  ", "dim"),
                (f"{name:<{NAME_WIDTH}}", "cyan"),
                one_line(text),
                (f"  {message_id}" if message_id else "", "dim"),
            )
        )


async def sandbox_outcome(sandbox_url: str, buildr_call_id: str) -> str | None:
    """The name of the outcome that the sandbox holds for a call, or None."""
    try:
        async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=False) as client:
            call = (
                (await client.get(f"{sandbox_url}/_sandbox/calls/{buildr_call_id}"))
                .raise_for_status()
                .json()["call"]
            )
    except httpx.HTTPError:
        return None
    outcome = call["call_outcome"]
    return None if outcome is None else str(outcome["name"])
