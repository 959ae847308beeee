"""
What the benchmark of the front door has measured: tables in Markdown, a picture, raw figures.

Figures are medians over the rounds; ratios are made within a round, whose servers had the same
weather, and their median is taken.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from tests.benchmarks.front_door_servers import ARQ, BARE, OURS
from tests.benchmarks.report import table

DOCS: Final = Path(__file__).parents[2] / "docs"
RAW: Final = DOCS / "front-door.json"
PICTURE: Final = DOCS / "front-door.svg"
PAGE: Final = DOCS / "benchmarks.md"
BEGIN: Final = "<!-- front door: written by make bench-front-door -->"
END: Final = "<!-- front door: end -->"
BAR_HEIGHT: Final = 26
LABEL_WIDTH: Final = 230
BAR_WIDTH: Final = 420


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    One server under one kind of message: its load, and what a message costs of the server's, Redis'
    and the load's own processor time, in microseconds; how many were taken.
    """

    server: str
    source: str
    round: int
    rate: float
    p50_ms: float
    p99_ms: float
    server_us: float
    redis_us: float
    load_us: float
    resident_mb: float
    messages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run: where it was made, and what each part of it measured."""

    machine: str
    measured: Mapping[str, Sequence[Measured]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """A run that was written down."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        measured = {
            part: [Measured(**item) for item in items] for part, items in stored["measured"].items()
        }
        return cls(machine=stored["machine"], measured=measured)

    def write(self, folder: Path) -> None:
        """Write the raw figures, the tables of the page and the picture; other parts stay."""
        path = folder / RAW.name
        measured = dict(self.measured)
        if path.exists():
            measured = {**Report.read(path).measured, **measured}
        report = Report(machine=self.machine, measured=measured)
        stored = {
            "machine": report.machine,
            "measured": {
                part: [asdict(item) for item in items] for part, items in measured.items()
            },
        }
        path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        page_path = folder / PAGE.name
        page = page_path.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        page_path.write_text(f"{before}{BEGIN}\n\n{report.text()}\n{END}{after}", encoding="utf-8")
        if "servers" in measured:
            (folder / PICTURE.name).write_text(picture(measured["servers"]), encoding="utf-8")

    def text(self) -> str:
        """Every part as a table, and where it was measured."""
        tables = []
        if items := self.measured.get("servers"):
            tables += [_servers(items, source) for source in _names(items, "source")]
        if items := self.measured.get("sources"):
            tables.append(_sources(items))
        if items := self.measured.get("processes"):
            tables.append(_processes(items))
        if items := self.measured.get("memory"):
            tables.append(_memory(items))
        return "\n\n".join([*tables, f"Measured on {self.machine}."]) + "\n"

    def compared_with(self, baseline: "Report") -> str:
        """By how much the receiver's share of each peer has changed; above 1 is faster."""
        rows = []
        for part, items in self.measured.items():
            before = baseline.measured.get(part, ())
            for source in _names(items, "source"):
                for peer in _names(items, "server"):
                    now = ratio(items, source, OURS, peer)
                    then = ratio(before, source, OURS, peer)
                    if peer != OURS and now and then:
                        rows.append(
                            (
                                f"{source}, of {peer}",
                                f"{then:.2f}",
                                f"{now:.2f}",
                                f"{now / then:.2f}",
                            )
                        )
        return table(("share", "baseline", "now", "now / baseline"), rows)


def _servers(items: Sequence[Measured], source: str) -> str:
    rows = []
    for server in _names(items, "server"):
        runs = _of(items, source, server)
        rows.append(
            (
                server,
                f"{_median(runs, 'rate'):,.0f}",
                f"{100 * ratio(items, source, server, BARE):.0f} %",
                f"{ratio(items, source, server, ARQ):.2f}",
                f"{_median(runs, 'p50_ms'):.1f}",
                f"{_median(runs, 'p99_ms'):.1f}",
                f"{_median(runs, 'server_us'):.0f}",
                f"{_median(runs, 'redis_us'):.0f}",
                f"{_median(runs, 'load_us'):.0f}",
            )
        )
    columns = (
        f"`{source}`",
        "messages/s",
        "of bare",
        "times arq",
        "p50, ms",
        "p99, ms",
        "server, µs",
        "Redis, µs",
        "load, µs",
    )
    return table(columns, rows)


def _sources(items: Sequence[Measured]) -> str:
    rows = []
    for source in _names(items, "source"):
        runs = _of(items, source, OURS)
        rows.append(
            (
                source,
                f"{_median(runs, 'rate'):,.0f}",
                f"{100 * ratio(items, source, OURS, BARE):.0f} %",
                f"{_median(runs, 'p99_ms'):.1f}",
                f"{_median(runs, 'server_us'):.0f}",
            )
        )
    return table(("source", "messages/s", "of bare", "p99, ms", "server, µs"), rows)


def _processes(items: Sequence[Measured]) -> str:
    rows = []
    for server in _names(items, "server"):
        runs = [item for item in items if item.server == server]
        rows.append(
            (
                server,
                f"{_median(runs, 'rate'):,.0f}",
                f"{ratio(items, runs[0].source, server, OURS):.2f}",
                f"{_median(runs, 'p99_ms'):.1f}",
                f"{_median(runs, 'server_us'):.0f}",
                f"{_median(runs, 'redis_us'):.0f}",
                f"{max(item.resident_mb for item in runs):.0f}",
            )
        )
    columns = (
        "processes",
        "messages/s",
        "times one",
        "p99, ms",
        "server, µs",
        "Redis, µs",
        "largest, MB",
    )
    return table(columns, rows)


def _memory(items: Sequence[Measured]) -> str:
    count = sum(item.messages for item in items)
    return (
        f"One receiver process took {count:,} messages of `{items[0].source}` in {len(items)} "
        f"runs, between which Redis was emptied; its resident memory was "
        f"{items[0].resident_mb:.1f} MB after the first run, "
        f"{items[len(items) // 2].resident_mb:.1f} MB half-way and "
        f"{items[-1].resident_mb:.1f} MB after the last."
    )


def ratio(items: Iterable[Measured], source: str, server: str, peer: str) -> float:
    """The median over the rounds of one server's rate by another's; 0 if there is none."""
    items = list(items)
    rates = {(item.server, item.round): item.rate for item in items if item.source == source}
    ratios = [
        rate / rates[peer, round_]
        for (name, round_), rate in rates.items()
        if name == server and (peer, round_) in rates
    ]
    if not ratios:
        return 0.0
    return statistics.median(ratios)


def picture(items: Sequence[Measured]) -> str:
    """Bars of messages per second, as SVG."""
    bars = [
        (f"{server}, {source}", _median(_of(items, source, server), "rate"), server == OURS)
        for source in _names(items, "source")
        for server in _names(items, "server")
    ]
    most = max(rate for _, rate, _ in bars)
    width = LABEL_WIDTH + BAR_WIDTH + 80
    height = BAR_HEIGHT * len(bars) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        '<g font-family="sans-serif" font-size="13">',
        "<title>Messages per second that are answered 2xx</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for place, (label, rate, is_ours) in enumerate(bars):
        top = 5 + BAR_HEIGHT * place
        length = BAR_WIDTH * rate / most
        fill = {True: "#2563eb", False: "#9ca3af"}[is_ours]
        lines += [
            f'<text x="{LABEL_WIDTH - 8}" y="{top + 17}" text-anchor="end">{label}</text>',
            f'<rect x="{LABEL_WIDTH}" y="{top}" width="{length:.0f}" height="20" fill="{fill}"/>',
            f'<text x="{LABEL_WIDTH + length + 6:.0f}" y="{top + 17}">{rate:,.0f}</text>',
        ]
    return "\n".join([*lines, "</g>", "</svg>"]) + "\n"


def _of(items: Iterable[Measured], source: str, server: str) -> list[Measured]:
    return [item for item in items if (item.source, item.server) == (source, server)]


def _names(items: Iterable[Measured], field_name: str) -> list[str]:
    return list(dict.fromkeys(str(getattr(item, field_name)) for item in items))


def _median(items: Iterable[Measured], field_name: str) -> float:
    return statistics.median(float(getattr(item, field_name)) for item in items)
