"""
A worker with calls to replay, over a Buildr that can be read.
"""

import json

import httpx

from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.store.connection import Store
from service.store.failed import Failed, FailedFilter
from service.store.rate_limit.lanes import Lane
from tests.workers.jobs.harness import CALL, NAMES, Buildr, WorkerHarness
from workers.buildr import BuildrClient, ReadyToken
from workers.process.assembly import build_worker
from workers.replay.assessment import BuildrState, ReplayAssessment, ReplayContext
from workers.replay.buildr_state import read_buildr_state
from workers.replay.candidates import call_candidates, failed_candidates
from workers.replay.failed_entries import select_failed
from workers.replay.replay import Replayer, replay

REF = "twilio:CA1"


class Mirror(Buildr):
    """A Buildr that shows what it holds, and has no call of the ids in `missing`."""

    def __init__(self) -> None:
        super().__init__()
        self.missing: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        call_id = request.url.path.rpartition("/")[2]
        if call_id in self.missing:
            self.requests.append((call_id, json.loads(request.content)["call"]))
            return httpx.Response(404, json={"error": "not found"})
        answer = super().__call__(request)
        if answer.is_success:
            stored = self.held[call_id].get("call_outcome_id")
            names = {number: name for name, number in NAMES}
            outcome = None if stored is None else {"id": stored, "name": names[stored]}
            return httpx.Response(
                200,
                json={
                    "call": {
                        "id": call_id,
                        "call_outcome": outcome,
                        "notes": self.held[call_id].get("notes"),
                    }
                },
            )
        return answer

    @property
    def writes(self) -> list[dict[str, str]]:
        """The requests that changed anything."""
        return [fields for _, fields in self.requests if fields]


class ReplayHarness(WorkerHarness):
    """
    A worker, a Buildr that can be read, and what the command line does to replay calls.
    """

    def __init__(self, store: Store, options: Settings) -> None:
        super().__init__(store, options)
        self.mirror = Mirror()
        self.buildr = self.mirror
        self.options = options
        self.client = BuildrClient(
            options,
            tokens=ReadyToken("token-of-the-tests"),
            transport=httpx.MockTransport(self.mirror),
        )
        self.parts = build_worker(options, store, self.client, clock=self.clock)

    def decide_by(self, config: OutcomeConfig) -> None:
        """Restart the worker with another map."""
        self.options = self.options.model_copy(update={"outcome_config": config})
        self.parts = build_worker(self.options, self.store, self.client, clock=self.clock)

    async def replayer(
        self, *, is_forced: bool = False, is_offline: bool = False, lane: Lane = Lane.REPLAY
    ) -> Replayer:
        """What the command line makes."""

        async def read_buildr_call(buildr_call_id: str) -> BuildrState:
            return await read_buildr_state(
                self.store, self.client, buildr_call_id, hold_s=10, clock=self.clock
            )

        return Replayer(
            store=self.store,
            context=await ReplayContext.of(self.options, self.store),
            clock=self.clock,
            lane=lane,
            is_forced=is_forced,
            read_buildr=None if is_offline or is_forced else read_buildr_call,
        )

    async def replay_failed(
        self,
        *,
        is_dry_run: bool = False,
        is_forced: bool = False,
        entries: list[Failed] | None = None,
    ) -> list[ReplayAssessment]:
        """`failed replay --all`."""
        entries = await select_failed(self.store, FailedFilter()) if entries is None else entries
        replayer = await self.replayer(is_forced=is_forced)
        cases = failed_candidates(self.store, entries, replayer.context.rules, clock=self.clock)
        return [item async for item in replay(replayer, cases, is_dry_run=is_dry_run)]

    async def replay_call(
        self, *, is_dry_run: bool = False, is_forced: bool = False, is_offline: bool = False
    ) -> ReplayAssessment:
        """`replay twilio:CA1`."""
        replayer = await self.replayer(is_forced=is_forced, is_offline=is_offline)
        (result,) = [
            item
            async for item in replay(
                replayer,
                call_candidates(self.store, [REF], replayer.context.rules),
                is_dry_run=is_dry_run,
            )
        ]
        return result

    async def deliver(self, *, query: str = "buildr_call_id=110") -> None:
        """A whole call, until it is at rest."""
        for item in CALL:
            await self.receive(item, query=query)
        await self.drain()
        self.mirror.requests.clear()
