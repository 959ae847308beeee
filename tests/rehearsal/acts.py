"""
What is rehearsed, act by act, with a plain line for each thing that was done.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from service.settings import load_installation
from service.store.call_listing import CallQuery
from service.store.connection import Store, open_store
from tests.faults.calls import MIXED, SimulatedCall
from tests.faults.judge import Verdicts
from tests.rehearsal.attacks import (
    PUBLIC_URLS,
    attack,
    refused_addresses,
    settings_of_all_sources,
    slugs_that_sign_addresses,
    taken_forgeries,
)
from tests.rehearsal.releases import ROOT, Release
from tests.rehearsal.site import ADMIN_TOKEN, RECEIVERS, WORKERS, RedisOfDeploy, Site
from tests.rehearsal.traffic import Traffic

OLD: Final = "old"
NEW: Final = "new"
# So long both versions, or one that was restarted and one that was not, run side by side.
SIDE_BY_SIDE_S: Final = 3.0
DELIVERED_WITHIN_S: Final = 60.0
ROLLED_BACK: Final = (RECEIVERS[0], WORKERS[0])
# A worker that ends while it makes the index holds up the others for a minute.
INDEXED_WITHIN_S: Final = 120
EXAMPLES: Final = 3
# GNU tar's exit code where a file has grown: the append-only file does, and its beginning is whole.
FILE_CHANGED: Final = 1
AOF: Final = "appendonlydir"


@dataclass(slots=True)
class Rehearsal:
    """All acts; `faults` is what was not as it should be."""

    folder: Path
    release: Release | None
    began_s: float
    faults: list[str] = field(default_factory=list)
    site: Site = field(init=False)
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        trees = {NEW: ROOT}
        if self.release is not None:
            trees[OLD] = self.release.tree
        self.site = Site(self.folder, trees)
        self.traffic = Traffic(list(self.site.proxy_ports.values()), ADMIN_TOKEN)

    async def run(self, *, has_attacks: bool) -> None:
        """Every act in order. Raises `RuntimeError` if a part does not start."""
        if not self.traffic.ports:
            raise RuntimeError("neither nginx nor caddy is installed: apt-get install nginx caddy")
        try:
            await self._begin()
            if self.release is not None:
                await self._upgrade(self.release)
            await self._restart()
            await self._back_up_and_restore()
            await self._count()
            if has_attacks:
                await self._attack()
        finally:
            await self.site.close()
        verdict = f"{len(self.faults)} things were not as they should be."
        if not self.faults:
            verdict = "Everything was as it should be."
        self.say(verdict)

    def say(self, text: str) -> None:
        """One line with the time since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self.began_s), 60)
        click.echo(f"[{minutes}:{seconds:02}] {text}")

    def fail(self, text: str) -> None:
        """One line about what was not as it should be."""
        self.faults.append(text)
        self.say(f"WRONG: {text}")

    async def _begin(self) -> None:
        version = NEW
        if self.release is not None:
            version = OLD
            self.say(
                f"The release before is {self.release.version}, commit {self.release.revision} "
                f"({self.release.origin}); its code runs with the packages of this environment."
            )
        await self.site.start(version)
        proxies = " and ".join(
            f"{name} on port {port}" for name, port in self.site.proxy_ports.items()
        )
        receivers = " and ".join(map(str, self.site.receiver_ports.values()))
        self.say(
            f"Redis, a sandbox in place of Buildr, receivers on ports {receivers}, two workers, "
            f"and before them {proxies}, run with the code of the {version} version."
        )
        async with self.traffic.flowing():
            await asyncio.sleep(SIDE_BY_SIDE_S)
        self._say_acknowledged("Calls of Twilio, Dialpad, Zoom and standard come in, signed")

    async def _upgrade(self, release: Release) -> None:
        """Workers first, then receivers, then back to the old version and forward again."""
        async with self.traffic.flowing():
            for name in (*WORKERS, *RECEIVERS):
                await self.site.replace(name, NEW)
                self.say(f"{name} runs the new version; the others go on as they are.")
                await asyncio.sleep(SIDE_BY_SIDE_S)
        self._say_acknowledged("The upgrade is done")
        async with self.traffic.flowing():
            for name in ROLLED_BACK:
                await self.site.replace(name, OLD)
            await self.site.stop(WORKERS[1])
            await asyncio.sleep(SIDE_BY_SIDE_S)
            self.say(
                f"Rolled back: {' and '.join(ROLLED_BACK)} run {release.version} over what the "
                "new version wrote, with no other worker."
            )
            await self.site.run(WORKERS[1], NEW)
            for name in reversed(ROLLED_BACK):
                await self.site.replace(name, NEW)
        await self._until_delivered(self.traffic.calls)
        self._say_acknowledged("Upgraded again")

    async def _restart(self) -> None:
        async with self.traffic.flowing():
            for name in RECEIVERS:
                await self.site.replace(name, NEW)
        self._say_acknowledged("The receivers were restarted, one after the other")

    async def _back_up_and_restore(self) -> None:
        """A backup while calls wait for Buildr; then Redis is lost with its disk, and restored."""
        await self.site.sandbox("POST", "/faults", {"kind": "status", "times": 1_000_000})
        async with self.traffic.flowing():
            await asyncio.sleep(SIDE_BY_SIDE_S)
        before = len(self.traffic.calls)
        archive = self.folder / "backup.tar.gz"
        await self._back_up(archive)
        self.say(f"Buildr is away. Redis was backed up as docs/operating.md says ({_kb(archive)}).")
        async with self.traffic.flowing():
            await asyncio.sleep(1)
        after = self.traffic.calls[before:]
        for name in WORKERS:
            await self.site.stop(name)
        await self.site.redis.kill()
        shutil.rmtree(self.site.redis.folder)
        self.say(
            f"Redis is lost with its disk, and with it {len(after)} calls that came after the "
            "backup."
        )
        spooled = len(self.traffic.calls)
        # A link needs Redis; messages do not.
        async with self.traffic.flowing(MIXED):
            await asyncio.sleep(SIDE_BY_SIDE_S)
        spooled = len(self.traffic.calls) - spooled
        self.site.redis.folder.mkdir()
        if await _status("tar", "-C", str(self.site.redis.folder), "-xzf", str(archive)):
            raise RuntimeError("the backup cannot be unpacked")
        await self.site.redis.start()
        await self.site.sandbox("DELETE", "/faults")
        for name in WORKERS:
            await self.site.run(name, NEW)
        self.say(f"Redis was restored. {spooled} calls came meanwhile, into the spool.")
        await self.traffic.send_again(after)
        self.say(f"The {len(after)} calls after the backup were sent again, as a backfill would.")
        await self._until_delivered(self.traffic.calls)

    async def _back_up(self, archive: Path) -> None:
        """As docs/operating.md says."""
        redis = self.site.redis
        await redis.command("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        await _until_no_rewrite(redis)
        words = ("tar", "-C", str(redis.folder), "-czf", str(archive), AOF)
        if await _status(*words) > FILE_CHANGED:
            self.fail("tar does not pack the folder of Redis")
        await redis.command("CONFIG", "SET", "auto-aof-rewrite-percentage", "100")

    async def _count(self) -> None:
        """Every acknowledged message, one by one, by what Buildr holds."""
        verdicts = Verdicts(self.traffic.messages)
        holdings = await self.site.holdings()
        lost = 0
        wrong = 0
        for call in self.traffic.calls:
            holding = holdings.get(call.buildr_call_id)
            lost += verdicts.lost(call, holding)
            wrong += verdicts.is_wrong(call, holding)
        refused = len(self.traffic.messages) - self.traffic.acknowledged
        self.say(
            f"Counted: {len(self.traffic.messages)} messages of {len(self.traffic.calls)} calls "
            f"were sent, {self.traffic.acknowledged} acknowledged, {refused} refused; of the "
            f"acknowledged ones {lost} do not show in Buildr; {wrong} calls hold a wrong outcome."
        )
        for count, text in (
            (refused, "messages were refused"),
            (lost, "acknowledged messages were lost"),
            (wrong, "calls hold a wrong outcome"),
        ):
            if count:
                self.fail(f"{count} {text}")
        await self._find_all()
        _, text = await self.site.command("check", "--json")
        faults = [
            f"buildr-calls check: {finding['what']}: {finding['detail']}"
            for finding in json.loads(text[text.index("[") :])
            # Nobody outside of this machine reaches it.
            if not finding["is_fine"] and finding["what"] != "public url"
        ]
        self._fail_each("not fit", faults)
        if not faults:
            self.say("buildr-calls check finds nothing wrong, but that PUBLIC_URL is made up.")

    async def _find_all(self) -> None:
        """Whether `buildr-calls calls` finds each call, whichever version wrote it."""
        settings = load_installation({"REDIS_URL": self.site.redis.url}).default
        missing = []
        async with open_store(settings, role="cli") as store:
            await _until_indexed(store)
            for call in self.traffic.calls:
                query = CallQuery(buildr_call_id=call.buildr_call_id)
                if not (await store.listing.page(query, limit=1)).calls:
                    missing.append(call)
        if missing:
            self.fail(
                f"{len(missing)} of {len(self.traffic.calls)} calls are not found by their id in "
                f"Buildr: {[call.buildr_call_id for call in missing[:EXAMPLES]]}"
            )
        else:
            self.say("buildr-calls calls finds each of them by its id in Buildr.")

    async def _attack(self) -> None:
        secrets = settings_of_all_sources()
        for public_url in PUBLIC_URLS:
            settings = {**secrets, "PUBLIC_URL": public_url}
            await asyncio.gather(*(self.site.replace(name, NEW, settings) for name in RECEIVERS))
            for name, port in self.site.proxy_ports.items():
                count, refused = await refused_addresses(public_url, port)
                slugs = ", ".join(slugs_that_sign_addresses())
                self.say(
                    f"{count} messages of {slugs} signed for odd addresses below {public_url}, "
                    f"through {name}: {len(refused)} refused."
                )
                self._fail_each("a signed address was refused", refused)
        for name, port in self.site.proxy_ports.items():
            count, taken = await taken_forgeries(port)
            self.say(f"{count} forged messages of all sources through {name}: {len(taken)} taken.")
            self._fail_each("a forged message was taken", taken)
        await asyncio.to_thread(self._attack_live)

    def _attack_live(self) -> None:
        for _, row in attack(self.folder, self.site.redis.url, self.site.proxy_ports):
            self.say(
                f"{row.attempts} {row.name}: {row.effect}; {row.genuine} genuine messages "
                f"meanwhile, {row.refused} refused, {row.worst_ms:.0f} ms at most."
            )
            if row.refused:
                self.fail(f"genuine messages were refused during {row.name}")

    def _fail_each(self, text: str, examples: Sequence[str]) -> None:
        for example in examples[:EXAMPLES]:
            self.fail(f"{text}: {example}")

    def _say_acknowledged(self, text: str) -> None:
        sent = len(self.traffic.messages)
        refused = sent - self.traffic.acknowledged
        self.say(f"{text}: {sent} messages so far, {refused} refused.")

    async def _until_delivered(self, calls: Sequence[SimulatedCall]) -> None:
        """Wait until Buildr holds what it should about some calls."""
        deadline = time.monotonic() + DELIVERED_WITHIN_S
        while time.monotonic() < deadline:
            holdings = await self.site.holdings()
            verdicts = Verdicts(self.traffic.messages)
            if all(verdicts.is_right(call, holdings.get(call.buildr_call_id)) for call in calls):
                return
            await asyncio.sleep(0.5)
        self.fail(f"not everything was in Buildr after {DELIVERED_WITHIN_S:.0f} s")


async def _until_indexed(store: Store) -> None:
    """Wait until the index of calls is made, or the time for that is over."""
    for _ in range(INDEXED_WITHIN_S):
        if await store.listing.is_complete():
            return
        await asyncio.sleep(1)


async def _until_no_rewrite(redis: RedisOfDeploy) -> None:
    for _ in range(600):
        if "aof_rewrite_in_progress:1" not in str(await redis.command("INFO", "persistence")):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("Redis rewrites its file without end")


async def _status(*words: str) -> int:
    """The exit code of a program."""
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


def _kb(path: Path) -> str:
    return f"{path.stat().st_size / 1024:.0f} KB"
