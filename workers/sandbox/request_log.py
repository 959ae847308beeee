"""
What the sandbox remembers of the requests that it received: the last ones whole, all of them in
counts.
"""

import json
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from service.settings import Budget
from workers.sandbox.rate_limit import NS_PER_S, PeakRate

MOST_REQUESTS: Final = 100_000
MOST_BODY_BYTES: Final = 16 * 1024
# Of the bodies of all requests that are kept: more than 100,000 usual ones have.
MOST_BODIES_BYTES: Final = 64 * 1024 * 1024
NS_PER_US: Final = 1000


@dataclass(slots=True, kw_only=True)
class Entry:
    """
    One request; `status` is None while it is being answered. The token and what a token was asked
    for with are not kept. Of a `body` that is long or old only `body_bytes` is known.
    """

    id: int
    at_ns: int
    method: str
    path: str
    query: str
    body: bytes = b""
    body_bytes: int = 0
    status: int | None = None
    is_rate_limited: bool = False
    fault: str | None = None

    def as_json(self) -> dict[str, object]:
        """The request as plain JSON values."""
        at = datetime.fromtimestamp(self.at_ns // NS_PER_S, UTC).replace(
            microsecond=self.at_ns % NS_PER_S // NS_PER_US
        )
        return {
            "id": self.id,
            "at": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": _readable(self.body, self.body_bytes),
            "status": self.status,
            "rate_limited": self.is_rate_limited,
            "fault": self.fault,
        }


@dataclass(slots=True)
class RequestLog:
    """The last requests, and counts over all of them."""

    budgets: tuple[Budget, ...]
    most: int = MOST_REQUESTS
    most_bodies_bytes: int = MOST_BODIES_BYTES
    entries: deque[Entry] = field(init=False)
    methods: Counter[str] = field(init=False)
    statuses: Counter[str] = field(init=False)
    crowds: list[PeakRate] = field(init=False)
    rate_limited: int = field(init=False)
    _with_body: deque[Entry] = field(init=False)
    _bodies_bytes: int = field(init=False)
    total: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything but the numbering."""
        self.entries = deque(maxlen=self.most)
        self.methods = Counter()
        self.statuses = Counter()
        self.crowds = [PeakRate(budget) for budget in self.budgets]
        self.rate_limited = 0
        self._with_body = deque()
        self._bodies_bytes = 0

    def begin(self, method: str, path: str, *, query: str, now_ns: int) -> Entry:
        """Take a request down as it arrives."""
        self.total += 1
        entry = Entry(id=self.total, at_ns=now_ns, method=method, path=path, query=query)
        self.entries.append(entry)
        self.methods[method] += 1
        return entry

    def keep_body(self, entry: Entry, body: bytes) -> None:
        """Keep the body of a request, unless it is long; the oldest ones make room for it."""
        entry.body_bytes = len(body)
        if not body or len(body) > MOST_BODY_BYTES:
            return
        entry.body = body
        self._with_body.append(entry)
        self._bodies_bytes += len(body)
        while self._bodies_bytes > self.most_bodies_bytes or len(self._with_body) > self.most:
            oldest = self._with_body.popleft()
            self._bodies_bytes -= len(oldest.body)
            oldest.body = b""

    def count_against_limit(self, now_ns: int) -> None:
        """Count a request that Buildr counts against its rate limit, whether it passes or not."""
        for crowd in self.crowds:
            crowd.add(now_ns)

    def end(self, entry: Entry, status: int) -> None:
        """Take down how a request was answered."""
        entry.status = status
        self.statuses[str(status)] += 1
        self.rate_limited += entry.is_rate_limited

    def as_json(self) -> dict[str, object]:
        """The counts as plain JSON values."""
        return {
            "requests": sum(self.methods.values()),
            "by_method": dict(self.methods),
            "by_status": dict(self.statuses),
            "rate_limited": self.rate_limited,
            "most_in_a_window": [
                {
                    "requests": crowd.budget.requests,
                    "window_s": crowd.budget.window_s,
                    "most": crowd.most,
                }
                for crowd in self.crowds
            ],
        }


def _readable(body: bytes, body_bytes: int) -> object:
    """A body as JSON values, else as text; one that is not kept is only measured."""
    if len(body) < body_bytes:
        return {"bytes": body_bytes}
    try:
        parsed: object = json.loads(body)
        # What JSON cannot say again (NaN, half a surrogate pair) is kept as text.
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace") or None
    return parsed


def latest(entries: Iterable[Entry], *, after: int) -> list[dict[str, object]]:
    """The requests with a higher number than `after`, in order."""
    return [entry.as_json() for entry in entries if entry.id > after]
