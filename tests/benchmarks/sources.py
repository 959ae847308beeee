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
from dataclasses import dataclass
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


def proof_and_keys(slug: str, request: WebhookRequest) -> None:
    """A message proved and named, as the receiver does before it keeps it."""
    source = SOURCES[slug]
    source.verify(request, Secrets(CONTRACTS[slug].secrets[:1]), NOW)
    source.keys(source.redact(request))


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


@dataclass(frozen=True)
class Costs:
    """
    What the messages of a source cost, in microseconds: median and 99th percentile of all rounds,
    then medians over the messages of each one's quickest round, which other work on the machine
    spoils least: the whole, proof and keys alone, and the least work.
    """

    median: float
    p99: float
    quickest: float
    keys: float
    least: float


def measure(slug: str) -> Costs:
    """Over a source's fixtures, in turns with the least work."""
    messages = [
        item
        for item in (signed(slug, name) for name in fixture_names(slug))
        if is_whole(slug, item)
    ]
    rounds = max(ROUNDS, 2000 // len(messages))
    rows: list[list[tuple[float, ...]]] = [[] for _ in messages]
    for _ in range(rounds):
        for request, row in zip(messages, rows, strict=True):
            # Unparsed: a request keeps what was parsed of it, and would be parsed in one round
            # only.
            row.append(
                (
                    took_us(partial(whole, slug, unparsed(request))),
                    took_us(partial(proof_and_keys, slug, unparsed(request))),
                    took_us(partial(least, SOURCES[slug].redact(request))),
                )
            )
    all_rounds = [figures[0] for row in rows for figures in row]
    quickest = [[min(column) for column in zip(*row, strict=True)] for row in rows]
    whole_us, keys_us, least_us = map(statistics.median, zip(*quickest, strict=True))
    p99_us = statistics.quantiles(all_rounds, n=100)[-1]
    return Costs(statistics.median(all_rounds), p99_us, whole_us, keys_us, least_us)


def main() -> None:
    """Measure every source and print a table."""
    click.echo(machine())
    rows = []
    slow = []
    for slug in sorted(SOURCES):
        costs = measure(slug)
        figures = (costs.median, costs.p99, costs.quickest, costs.keys, costs.least)
        rows.append(
            (
                slug,
                *(f"{figure:.0f}" for figure in figures),
                f"{costs.quickest / costs.least:.1f}",
            )
        )
        slow += [slug] if costs.median > MOST_US else []
    heads = (
        "median, µs",
        "p99, µs",
        "quickest, µs",
        "proof and keys, µs",
        "HMAC and reading alone, µs",
        "times that",
    )
    click.echo(table(("source", *heads), rows))
    if slow:
        raise SystemExit(f"more than {MOST_US:.0f} µs at the median: {', '.join(slow)}")


if __name__ == "__main__":
    main()
