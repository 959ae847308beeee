"""
The rows as text: a line on the terminal, the tables of docs/reliability.md, and JSON beside it.
"""

import itertools
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.report import machine, table
from tests.faults.judge import Row
from tests.faults.scenario import Scenario

PAGE: Final = Path("docs/reliability.md")
RAW: Final = Path("docs/reliability.json")
BEGIN: Final = "<!-- figures, made by: make faults -->"
END: Final = "<!-- end of the figures -->"
COLUMNS: Final = (
    "fault",
    "",
    "sent",
    "acknowledged",
    "not taken",
    "lost",
    "wrong",
    "repeated",
    "worst ack, s",
    "first, s",
    "all, s",
    "429",
)


def verdict(row: Row) -> str:
    """A word for a row."""
    if row.skipped:
        return "SKIPPED"
    if row.faults:
        return "RED"
    return "ok"


def summary(row: Row) -> str:
    """A row in one line."""
    if row.skipped:
        return f"SKIPPED {row.name}: {row.skipped}"
    reasons = ""
    if row.faults:
        reasons = f": {'; '.join(row.faults)}"
    return (
        f"{verdict(row):3} {row.name:28} sent {row.sent} taken {row.acknowledged} "
        f"not taken {_not_taken(row)} lost {row.lost} wrong {row.wrong} repeated {row.repeated} "
        f"worst {row.worst_acknowledgement_s:.2f} s, back after {_seconds(row.recovery_first_s)} "
        f"and {_seconds(row.recovery_all_s)} s, {row.lasted_s:.0f} s{reasons}"
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}"


def _not_taken(row: Row) -> str:
    if not row.exempt:
        return str(row.not_taken)
    return f"{row.not_taken} ({row.exempt} exempt)"


def _cells(row: Row) -> Sequence[object]:
    if row.skipped:
        return (row.title, f"**SKIPPED**: {row.skipped}", *[""] * (len(COLUMNS) - 2))
    shown = verdict(row)
    if row.faults:
        shown = f"**RED**: {'; '.join(row.faults)}"
    return (
        row.title,
        shown,
        f"{row.sent:,}",
        f"{row.acknowledged:,}",
        _not_taken(row),
        row.lost,
        row.wrong,
        row.repeated,
        f"{row.worst_acknowledgement_s:.2f}",
        _seconds(row.recovery_first_s),
        _seconds(row.recovery_all_s),
        row.refused_by_limit,
    )


def figures(groups: Mapping[str, Iterable[Scenario]], rows: Sequence[Row], *, commit: str) -> str:
    """All tables with their head; scenarios without a row are named below them."""
    by_name = {row.name: row for row in rows}
    parts = [_head(rows, commit)]
    for group, scenarios in groups.items():
        cells = [_cells(by_name[item.name]) for item in scenarios if item.name in by_name]
        if cells:
            parts.append(f"### {group}\n\n{table(COLUMNS, cells)}\n")
    parts += _not_run(groups, by_name)
    exempt = [row for row in rows if row.exempt]
    if exempt:
        lines = [f"- {row.title}: {row.exempt} {row.exemption}." for row in exempt]
        parts.append("Exempt:\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _not_run(groups: Mapping[str, Iterable[Scenario]], by_name: Mapping[str, Row]) -> list[str]:
    """The names of the scenarios without a row, as a part of the page; empty if all have one."""
    scenarios = itertools.chain.from_iterable(groups.values())
    lines = [f"- {item.title}" for item in scenarios if item.name not in by_name]
    if not lines:
        return []
    return ["Not run this time:\n\n" + "\n".join(lines) + "\n"]


def _head(rows: Sequence[Row], commit: str) -> str:
    judged = [row for row in rows if not row.skipped]
    sums = {
        name: sum(getattr(row, name) for row in judged)
        for name in ("sent", "calls", "acknowledged", "lost", "wrong", "not_taken", "exempt")
    }
    red = sum(bool(row.faults) for row in judged)
    return (
        f"Made by `make faults` at commit {commit}, {machine()}: {len(judged)} scenarios, "
        f"{len(rows) - len(judged)} skipped, {red} red.\n\n"
        f"**{sums['sent']:,} messages of {sums['calls']:,} calls sent, "
        f"{sums['acknowledged']:,} acknowledged, {sums['lost']:,} lost, "
        f"{sums['wrong']:,} calls wrong, {sums['not_taken'] - sums['exempt']:,} messages not "
        f"taken** beside {sums['exempt']:,} that the fault itself took away.\n"
    )


def commit_of(root: Path) -> str:
    """The commit that is checked out, or a dash outside of a repository."""
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "-"


def write_report(root: Path, groups: Mapping[str, Iterable[Scenario]], rows: Sequence[Row]) -> None:
    """Put the tables between the two comments of the page, and the rows beside it as JSON."""
    page = root / PAGE
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = figures(groups, rows, commit=commit_of(root))
    page.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{after}", encoding="utf-8")
    raw = json.dumps([row.as_json() for row in rows], indent=1)
    (root / RAW).write_text(raw + "\n", encoding="utf-8")
