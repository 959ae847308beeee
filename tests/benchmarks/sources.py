"""
What proving and reading a message costs, for each source. `make bench-sources` runs it.

Side by side in one run with the least that such work takes: one HMAC over the body, and reading it.
Exit code 1 if a source takes longer than it may.
"""

import hashlib
import hmac
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

import click

from service.errors import MessageError
from service.sources import SOURCES, WebhookRequest
from service.sources.request import FORM
from service.sources.settings import Secrets
from tests.benchmarks.report import machine, table
from tests.sources.cases import (
    CONTRACTS,
    NOW,
    fixture_names,
    signed,
    unparsed,
)

MESSAGE_ID: Final = "m000000000000000000000000"
ROUNDS: Final = 30
MOST_US: Final = 120.0


def whole(slug: str, request: WebhookRequest) -> None:
    """A message proved, and turned into its events."""
    source = SOURCES[slug]
    source.verify(request, Secrets(CONTRACTS[slug].secrets[:1]), NOW)
    source.read(source.redact(request), MESSAGE_ID)


def least(request: WebhookRequest) -> None:
    """An HMAC over the body, and the body read by the standard library."""
    hmac.digest(b"fake-key-of-the-benchmark", request.body, hashlib.sha256)
    if request.content_type == FORM:
        parse_qsl(request.body.decode(), keep_blank_values=True)
    else:
        json.loads(request.body)


def is_whole(slug: str, request: WebhookRequest) -> bool:
    """Whether a fixture goes all the way; one that is refused or ignored costs less."""
    try:
        whole(slug, request)
        least(SOURCES[slug].redact(request))
    except (MessageError, ValueError):
        return False
    return True


def took_us(work: Callable[[], None]) -> float:
    """Microseconds of one run, of processor time: what else the machine does counts little."""
    started_ns = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started_ns) / 1000


def measure(slug: str) -> tuple[float, float, float]:
    """
    Over a source's fixtures, in turns with the least work: median and 99th percentile, and the
    median of the least; microseconds.
    """
    messages = [
        item
        for item in (signed(slug, name) for name in fixture_names(slug))
        if is_whole(slug, item)
    ]
    rounds = max(ROUNDS, 2000 // len(messages))
    ours = []
    others = []
    for _ in range(rounds):
        for request in messages:
            # Unparsed: a request keeps what was parsed of it, and would be parsed in one round
            # only.
            ours.append(took_us(partial(whole, slug, unparsed(request))))
            others.append(took_us(partial(least, SOURCES[slug].redact(request))))
    return statistics.median(ours), statistics.quantiles(ours, n=100)[-1], statistics.median(others)


def main() -> None:
    """Measure every source and print a table."""
    click.echo(machine())
    rows = []
    slow = []
    for slug in sorted(SOURCES):
        median_us, p99_us, least_us = measure(slug)
        rows.append(
            (
                slug,
                f"{median_us:.0f}",
                f"{p99_us:.0f}",
                f"{least_us:.0f}",
                f"{median_us / least_us:.1f}",
            )
        )
        slow += [slug] if median_us > MOST_US else []
    click.echo(
        table(("source", "median, µs", "p99, µs", "HMAC and reading alone, µs", "times that"), rows)
    )
    if slow:
        raise SystemExit(f"more than {MOST_US:.0f} µs at the median: {', '.join(slow)}")


if __name__ == "__main__":
    main()
