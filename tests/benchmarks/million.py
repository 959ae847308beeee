"""
`make bench-million`: commands, pages of the console and /metrics over a million stored calls.

Exit code 1 if a command takes more than half a second at the median, or a page more than 150 ms.
With --keep the filled Redis is written to a folder, and read from there the next time.
"""

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import click
import httpx
from redis import Redis

from service.clock import utc_now
from service.settings import load_installation
from service.store.call_index import INDEXED
from service.store.call_parties import CallParties
from service.store.connection import open_store
from service.store.delivery_record import DeliveryRecord
from service.store.keys import Keys
from tests.benchmarks.finding import RARE
from tests.benchmarks.million_fill import fill
from tests.benchmarks.phone_book import used_bytes_of
from tests.benchmarks.report import machine, table
from tests.benchmarks.theory import percentile
from tests.doubles.redis import RedisServer
from tests.e2e.harness import free_port, wait_for
from workers.cli.main import cli

MOST_COMMAND_MS: Final = 500.0
MOST_PAGE_MS: Final = 150.0
LEAST_FREE_BYTES: Final = 8_000_000_000
GB: Final = 1e9
COMMAND_RUNS: Final = 3
# How much of a command is its start.
PROCESSES: Final = (("version",), ("calls",))
PAGE_RUNS: Final = 10
CONSOLE_TOKEN: Final = "console-token-of-the-benchmark-000"
METRICS_TOKEN: Final = "metrics-token-of-the-benchmark-000"
FORM_TOKEN: Final = re.compile(r'name="form_token" value="([0-9a-f]+)"')
FACTS: Final = "facts.json"

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some calls of the million that questions name, and how much Redis takes."""

    total: int
    used_bytes: int
    ref: str
    customer: str
    line: str
    buildr_call_id: str
    failed_ref: str
    a_day: str


@dataclass(frozen=True, slots=True)
class Took:
    """
    What one thing took, in ms: of the clock and of the processor, at the median; a page's processor
    time is the receiver's, in the mean. `most_ms` is what it may take of the clock.
    """

    name: str
    wall_ms: float
    cpu_ms: float
    longest_ms: float
    size: int
    most_ms: float = MOST_COMMAND_MS


def free_bytes() -> int:
    """How much memory of this machine is free."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    (kb,) = re.findall(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(kb) * 1024


def show_progress(total: int) -> Callable[[int], None]:
    """A line for every tenth; raises `RuntimeError` when the machine's memory gets short."""
    started_s = time.monotonic()

    def progress(count: int) -> None:
        if free_bytes() < LEAST_FREE_BYTES:
            raise RuntimeError(f"less than 8 GB are free after {count:,} calls")
        if count * 10 // total != (count - 500) * 10 // total:
            took_s = time.monotonic() - started_s
            click.echo(f"{count:,} calls written in {took_s:.0f} s", err=True)

    return progress


async def make(server: RedisServer, total: int) -> Sample:
    """Fill an empty Redis."""
    now = utc_now()
    settings = load_installation({"REDIS_URL": server.url}).default
    async with open_store(settings, role="worker") as store:
        before = await used_bytes_of(store)
        records = await fill(store, server.socket, total, now, progress=show_progress(total))
        used_bytes = await used_bytes_of(store) - before
    return sample_of(records, total, used_bytes, now)


def sample_of(
    records: Sequence[DeliveryRecord], total: int, used_bytes: int, now: datetime
) -> Sample:
    """What questions name: a delivered call of the middle, and one that has failed."""
    delivered = [record for record in records if record.state.value == "delivered"]
    failed = [record for record in records if record.state.value == "failed"]
    if not delivered or not failed:
        raise RuntimeError("too few calls")
    record = delivered[len(delivered) // 2]
    parties = record.parties or CallParties()
    return Sample(
        total=total,
        used_bytes=used_bytes,
        ref=record.ref,
        customer=str(parties.customer),
        line=str(parties.line),
        buildr_call_id=str(record.buildr_call_id),
        failed_ref=failed[-1].ref,
        a_day=(now - timedelta(days=15)).strftime("%Y-%m-%d"),
    )


def commands_of(sample: Sample) -> dict[str, tuple[str, ...]]:
    """What people type, by its description."""
    next_day = (datetime.fromisoformat(sample.a_day) + timedelta(days=1)).strftime("%Y-%m-%d")
    return {
        "calls": ("calls",),
        "calls NUMBER (a customer's)": ("calls", sample.customer),
        "calls NUMBER (of ours)": ("calls", sample.line),
        "calls --agent, whole name": ("calls", "--agent", "agent-7@example.com"),
        "calls --agent, ten calls": ("calls", "--agent", RARE),
        "calls --agent, a part": ("calls", "--agent", "agent-7"),
        "calls --agent, nobody's": ("calls", "--agent", "Nobody"),
        "calls --outcome, none": ("calls", "--outcome", "Nothing"),
        "calls --result": ("calls", "--result", "busy"),
        "calls --since, a day": ("calls", "--since", sample.a_day, "--until", next_day),
        "calls --state unmatched": ("calls", "--state", "unmatched"),
        "calls --state failed": ("calls", "--state", "failed"),
        "calls --state waiting": ("calls", "--state", "waiting"),
        "calls --state stalled": ("calls", "--state", "stalled"),
        "explain CALL": ("explain", sample.ref),
        "explain NUMBER": ("explain", sample.customer),
        "explain BUILDR_ID": ("explain", sample.buildr_call_id),
        "explain, unknown id": ("explain", "twilio:CA" + "f" * 32),
        "explain, a part of an id": ("explain", sample.ref[-12:]),
        "failed list": ("failed", "list", "--limit", "20"),
        "failed list, the default 1,000": ("failed", "list"),
        "failed list --cause": ("failed", "list", "--cause", "unknown_outcome", "--limit", "20"),
        "failed list --cause, none": ("failed", "list", "--cause", "not_taken"),
        "failed show": ("failed", "show", sample.failed_ref),
        "unmatched list": ("unmatched", "list", "--limit", "20"),
        "unmatched list, the default 1,000": ("unmatched", "list"),
        "stalled list": ("stalled", "list"),
        "refused list": ("refused", "list"),
        "status": ("status",),
        "sources": ("sources",),
    }


def pages_of(sample: Sample) -> dict[str, str]:
    """Pages of the console, by their description."""
    root = "/console/default"
    return {
        "overview": f"{root}/overview",
        "calls": f"{root}/calls",
        "calls, a number": f"{root}/calls?q={sample.customer.replace('+', '%2B')}",
        "calls, an agent": f"{root}/calls?q=agent-7%40example.com",
        "calls, nobody's": f"{root}/calls?q=Nobody",
        "calls, unmatched": f"{root}/calls?state=unmatched",
        "calls, failed": f"{root}/calls?state=failed",
        "calls, a result": f"{root}/calls?result=busy",
        "call": f"{root}/call?ref={sample.ref}",
        "failed": f"{root}/failed",
        "failed, a cause": f"{root}/failed?cause=unknown_outcome",
        "unmatched": f"{root}/unmatched",
        "stalled": f"{root}/stalled",
        "refused": f"{root}/refused",
        "rules": f"{root}/rules",
    }


def environment_of(url: str, folder: Path) -> dict[str, str]:
    """The settings of commands and of the receiver."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **inherited,
        "REDIS_URL": url,
        "REDIS_DURABILITY": "off",
        "TWILIO_AUTH_TOKEN": "FAKE0000000000000000000000000000",
        "BUILDR_ACCESS_TOKEN": "fake-access-token-of-the-benchmark",
        "CONSOLE_TOKEN": CONSOLE_TOKEN,
        "METRICS_TOKEN": METRICS_TOKEN,
        "PUBLIC_URL": "https://hooks.example.test",
        "DATA_DIR": str(folder),
        "LOG_FORMAT": "json",
        "COLUMNS": "120",
    }


def time_command(name: str, words: Sequence[str]) -> Took:
    """Run a command some times in this process, so that no start of Python is in it."""
    walls: list[float] = []
    cpus: list[float] = []
    size = 0
    # The first one imports what it needs.
    for _ in range(COMMAND_RUNS + 1):
        output = io.StringIO()
        started_s = time.perf_counter()
        cpu_s = time.process_time()
        with redirect_stdout(output), redirect_stderr(output), suppress(SystemExit):
            cli.main(args=list(words), prog_name="buildr-calls")
        walls.append((time.perf_counter() - started_s) * 1000)
        cpus.append((time.process_time() - cpu_s) * 1000)
        size = len(output.getvalue().splitlines())
    del walls[0], cpus[0]
    click.echo(f"{name}: {percentile(walls, 50):.0f} ms, CPU {percentile(cpus, 50):.0f}", err=True)
    return Took(name, percentile(walls, 50), percentile(cpus, 50), max(walls), size)


def time_process(name: str, words: Sequence[str], environment: Mapping[str, str]) -> Took:
    """Run a command some times as a process of its own."""
    walls: list[float] = []
    cpus: list[float] = []
    size = 0
    for _ in range(COMMAND_RUNS):
        started_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.main", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        walls.append((time.perf_counter() - started_s) * 1000)
        cpus.append((usage.ru_utime + usage.ru_stime) * 1000)
        size = len(output.splitlines())
    return Took(name, percentile(walls, 50), percentile(cpus, 50), max(walls), size)


@contextmanager
def receiver(environment: Mapping[str, str]) -> Iterator[tuple[httpx.Client, int]]:
    """A browser that is logged in, and the id of the process of the receiver with the console."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli.main", "serve"],
        env={**environment, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_for(lambda: _answers(client), goal="the receiver")
            _log_in(client)
            yield client, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def _log_in(client: httpx.Client) -> None:
    # PUBLIC_URL is https, so that its cookies are for that only.
    client.headers["x-forwarded-proto"] = "https"
    page = client.get("/console")
    client.headers["cookie"] = _cookies(page)
    match = FORM_TOKEN.search(page.text)
    if match is None:
        raise RuntimeError("no log-in is shown")
    fields = {"form_token": match[1], "token": CONSOLE_TOKEN}
    answer = client.post("/console/login", data=fields)
    if answer.status_code not in (302, 303):
        raise RuntimeError(f"no log-in: {answer.status_code}")
    client.headers["cookie"] += "; " + _cookies(answer)


def _cookies(answer: httpx.Response) -> str:
    lines = answer.headers.get_list("set-cookie")
    return "; ".join(line.partition(";")[0] for line in lines)


def time_page(
    name: str, path: str, client: httpx.Client, pid: int, headers: Mapping[str, str] | None = None
) -> Took:
    """Load a page some times."""
    walls: list[float] = []
    size = 0
    client.get(path, headers=headers)
    cpu_ms = process_cpu_ms(pid)
    for _ in range(PAGE_RUNS):
        started_s = time.perf_counter()
        answer = client.get(path, headers=headers)
        walls.append((time.perf_counter() - started_s) * 1000)
        size = len(answer.content) // 1024
        if not answer.is_success:
            raise RuntimeError(f"{path}: {answer.status_code}")
    cpu_ms = (process_cpu_ms(pid) - cpu_ms) / PAGE_RUNS
    click.echo(f"{name}: {percentile(walls, 50):.0f} ms, CPU {cpu_ms:.0f}", err=True)
    return Took(name, percentile(walls, 50), cpu_ms, max(walls), size, MOST_PAGE_MS)


def process_cpu_ms(pid: int) -> float:
    """What a process has taken of the processor so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    # utime and stime are the 14th and 15th field; the name, the second, may hold blanks.
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def time_pages(sample: Sample, environment: Mapping[str, str]) -> list[Took]:
    """Every page of the console, and /metrics."""
    with receiver(environment) as (client, pid):
        pages = [time_page(name, path, client, pid) for name, path in pages_of(sample).items()]
        bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        return [*pages, time_page("/metrics", "/metrics", client, pid, bearer)]


def measure(sample: Sample, url: str, folder: Path, only: str) -> tuple[str, list[str]]:
    """The tables, and what takes more than it may."""
    environment = environment_of(url, folder)
    os.environ.update(environment)
    commands = [
        time_command(name, words)
        for name, words in commands_of(sample).items()
        if only in name and only != "page"
    ]
    processes = [
        time_process(f"buildr-calls {' '.join(words)}", words, environment)
        for words in PROCESSES
        if only == ""
    ]
    pages = []
    if only in ("", "page"):
        pages = time_pages(sample, environment)
    faults = [
        f"{took.name}: {took.wall_ms:.0f} ms"
        for took in (*commands, *pages)
        if took.wall_ms > took.most_ms
    ]
    text = "\n\n".join(
        (
            f"{sample.total:,} calls; Redis takes {sample.used_bytes / GB:.2f} GB of them.",
            table(
                ("command, without its start", "lines", "p50, ms", "of it CPU, ms", "longest, ms"),
                [_row(took) for took in commands],
            ),
            table(
                ("a process", "lines", "p50, ms", "of it CPU, ms", "longest, ms"),
                [_row(took) for took in processes],
            ),
            table(
                ("page", "KiB", "p50, ms", "of it CPU, ms", "longest, ms"),
                [_row(took) for took in pages],
            ),
            f"Measured on {machine()}.",
        )
    )
    return text, faults


def _row(took: Took) -> Row:
    times = (f"{took.wall_ms:.0f}", f"{took.cpu_ms:.0f}", f"{took.longest_ms:.0f}")
    return (took.name, took.size, *times)


def load(folder: Path) -> Sample | None:
    """What a folder holds of an earlier run."""
    path = folder / FACTS
    if not path.exists():
        return None
    return Sample(**json.loads(path.read_text(encoding="utf-8")))


def set_indexed(server: RedisServer) -> None:
    """Say that the index is whole, as a worker does."""
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.set(Keys().named("calls_indexed"), INDEXED)


def keep(server: RedisServer, sample: Sample) -> None:
    """Have Redis write itself into its folder, with what questions name."""
    with Redis(unix_socket_path=str(server.socket), socket_timeout=600) as client:
        client.save()
    facts = {name: getattr(sample, name) for name in Sample.__slots__}
    (server.folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--calls", "total", default=1_000_000, show_default=True, help="So many calls.")
@click.option("--keep", "folder", type=click.Path(path_type=Path), help="Where Redis is kept.")
@click.option("--only", default="", help="Commands with this in their name, or page.")
def main(total: int, folder: Path | None, only: str) -> None:
    """Print tables in Markdown."""
    place = folder or Path(tempfile.mkdtemp(prefix="bc-million-"))
    place.mkdir(exist_ok=True)
    sample = load(place)
    server = RedisServer(place)
    server.start(appendonly="no", timeout_s=300)
    try:
        if sample is None:
            sample = asyncio.run(make(server, total))
            if folder is not None:
                keep(server, sample)
        set_indexed(server)
        text, faults = measure(sample, server.url, place, only)
    finally:
        server.kill()
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    click.echo(text)
    for fault in faults:
        click.echo(f"slower than it may be: {fault}", err=True)
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
