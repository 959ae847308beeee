"""
What faults consist of: each function makes an action, which a scenario does at a set time.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Final

from tests.faults.calls import buildr_call_id
from tests.faults.proxy import Mode
from tests.faults.scenario import Action, Via
from tests.faults.stage import Stage

FULL_MEMORY: Final = "1"
# Half of a command, as a write leaves it that a power cut has stopped.
TORN_COMMAND: Final = b"*3\r\n$3\r\nSET\r\n$12\r\nhalf-of-a-k"


def both(*actions: Action) -> Action:
    """One action after the other."""

    async def act(stage: Stage) -> None:
        for action in actions:
            await action(stage)

    return act


def repeatedly(action: Action, *, times: int, every_s: float) -> Action:
    """The same again and again, with a pause after each."""

    async def act(stage: Stage) -> None:
        for _ in range(times):
            await action(stage)
            await asyncio.sleep(every_s)

    return act


def kill(name: str, number: signal.Signals = signal.SIGKILL) -> Action:
    """End a part and leave it down."""

    async def act(stage: Stage) -> None:
        stage.blow()
        await stage.parts.end(name, number)
        stage.blow()

    return act


async def kill_child(stage: Stage) -> None:
    """Kill one of the processes of a receiver that has several, and wait for its successor."""
    before = stage.parts.log_count("receiver0", "service.started")
    stage.blow()
    os.kill(stage.parts.children("receiver0")[0], signal.SIGKILL)
    stage.blow()
    await stage.until(
        lambda: stage.parts.log_count("receiver0", "service.started") > before,
        goal="the process that takes the place of the killed one",
    )


def start(name: str) -> Action:
    """Start a part that was ended."""

    async def act(stage: Stage) -> None:
        stage.parts.start(name)

    return act


def start_receiver(place: int = 0) -> Action:
    """Start a receiver that was ended, and wait until it takes messages."""

    async def act(stage: Stage) -> None:
        stage.parts.start(stage.receivers[place])
        await stage.until_receiver_ready(stage.receiver_ports[place])

    return act


def send_signal(name: str, number: signal.Signals) -> Action:
    """Send a part a signal."""

    async def act(stage: Stage) -> None:
        stage.parts.send_signal(name, number)

    return act


async def restart_worker(stage: Stage) -> None:
    """End the worker in order and start it again, as an upgrade does."""
    await stage.parts.end("worker0", signal.SIGTERM)
    times = stage.parts.log_count("worker0", "worker.started") + 1
    stage.parts.start("worker0")
    await stage.until_worker_started("worker0", times=times)


def reload_receiver(*, timeout_s: float = 90) -> Action:
    """Have the receiver replace its processes (SIGHUP), and wait until it has done so."""

    async def act(stage: Stage) -> None:
        before = stage.parts.log_count("receiver0", "service.reloaded")
        stage.parts.send_signal("receiver0", signal.SIGHUP)
        await stage.until(
            lambda: stage.parts.log_count("receiver0", "service.reloaded") > before,
            goal="the receiver to have replaced its processes",
            timeout_s=timeout_s,
        )

    return act


async def kill_redis(stage: Stage) -> None:
    """End Redis the hard way."""
    await stage.redis.kill()


async def start_redis(stage: Stage) -> None:
    """Start Redis again on what its file holds."""
    await stage.redis.start()


def signal_redis(number: signal.Signals) -> Action:
    """Send Redis a signal."""

    async def act(stage: Stage) -> None:
        stage.redis.signal(number)

    return act


def configure_redis(name: str, value: str) -> Action:
    """Change an option of Redis."""

    async def act(stage: Stage) -> None:
        async with stage.redis.connect() as client:
            await client.config_set(name, value)

    return act


def command_redis(*words: str) -> Action:
    """Send Redis a command."""

    async def act(stage: Stage) -> None:
        await stage.redis.command(*words)

    return act


def set_redis_clock(offset_s: float) -> Action:
    """Set the clock of Redis."""

    async def act(stage: Stage) -> None:
        stage.redis.set_clock(offset_s)

    return act


async def tear_redis_file(stage: Stage) -> None:
    """Leave half of a command at the end of the append-only file of a Redis that is down."""
    files = sorted((stage.redis.folder / "appendonlydir").glob("*.incr.aof"))
    with files[-1].open("ab") as file:
        file.write(TORN_COMMAND)


async def fill_disk(stage: Stage) -> None:
    """Fill the disk of Redis up to the last byte."""
    with (stage.redis.folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65_536)
        except OSError:
            return


async def free_disk(stage: Stage) -> None:
    """Take the filler away; start Redis if it has ended over it."""
    (stage.redis.folder / "filler").unlink()
    if stage.redis.process is None or stage.redis.process.poll() is not None:
        await stage.redis.start()


async def fail_over(stage: Stage) -> None:
    """Kill the primary and wait until another server is one."""
    if stage.sentinels is None:
        raise RuntimeError("there are no Sentinels")
    primary = await stage.sentinels.primary()
    await primary.kill()
    async with asyncio.timeout(30):
        while True:
            try:
                await stage.sentinels.primary()
            except RuntimeError:
                await asyncio.sleep(0.1)
            else:
                return


def proxy(via: Via, mode: Mode) -> Action:
    """Change what a proxy does."""

    async def act(stage: Stage) -> None:
        await stage.proxies[via].set_mode(mode)

    return act


def delay(via: Via, seconds: float) -> Action:
    """Hold answers back for so long, 0 to stop it."""

    async def act(stage: Stage) -> None:
        stage.proxies[via].delay_s = seconds

    return act


def cut(via: Via) -> Action:
    """Reset every connection that goes through a proxy."""

    async def act(stage: Stage) -> None:
        stage.proxies[via].cut()

    return act


def silence(via: Via) -> Action:
    """Leave every connection through a proxy open, and dead."""

    async def act(stage: Stage) -> None:
        stage.proxies[via].silence()

    return act


def buildr(**fault: object) -> Action:
    """Have the sandbox misbehave, see `workers/sandbox/faults.py`."""

    async def act(stage: Stage) -> None:
        await stage.sandbox("POST", "/faults", fault)

    return act


def write_late(numbers: Sequence[int], *, seconds: float) -> Action:
    """
    Have the first write of each of these calls cut off, and carried out so many seconds later.

    Not those of calls in a row: several failures one after the other are an outage.
    """

    async def act(stage: Stage) -> None:
        for number in numbers:
            match = f"calls/{buildr_call_id(number)}"
            await stage.sandbox(
                "POST", "/faults", {"kind": "late", "seconds": seconds, "match": match}
            )

    return act


async def buildr_recovers(stage: Stage) -> None:
    """Take back all faults of the sandbox."""
    await stage.sandbox("DELETE", "/faults")


def hold_idle_connections(count: int, *, seconds: float) -> Action:
    """Open connections to the receiver that say nothing, and hold them."""

    async def act(stage: Stage) -> None:
        writers = []
        for _ in range(count):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", stage.receiver_ports[0])
            except OSError:
                continue
            writers.append(writer)
        await asyncio.sleep(seconds)
        for writer in writers:
            writer.transport.abort()

    return act
