"""
`make attacks`: carries out the attacks and writes docs/attacks.md. Exit code 1 if a forged request
was accepted, an unproved one costs too much, or a genuine message was refused meanwhile.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from service.sources import SOURCES
from tests.attacks.forger import accepted, forged
from tests.attacks.live import LiveRow, attacks, run, running
from tests.attacks.worst_inputs import MOST_CPU_S, Cost, cost, worst_inputs
from tests.benchmarks.report import machine, table
from tests.sources.cases import CONTRACTS

PAGE: Final = Path(__file__).parents[2] / "docs" / "attacks.md"
BEGIN: Final = "<!-- figures, made by: make attacks -->"
END: Final = "<!-- end of the figures -->"
FORGERIES: Final = 100_000
RUNS: Final = 5
SCALE: Final = 20


def main() -> None:
    """The command."""
    _command()


@click.command()
@click.option("--forgeries", default=FORGERIES, help="Forged requests, over all sources.")
@click.option("--only", type=click.Choice(["sources", "live"]), help="A part; the page stays.")
def _command(forgeries: int, only: str | None) -> None:
    """Attack the service, and write docs/attacks.md."""
    head = machine()
    parts: list[str] = []
    faults: list[str] = []
    if only != "live":
        parts.append(_sources(-(-forgeries // len(SOURCES)), faults))
    if only != "sources":
        parts.append(_live(faults))
    text = "\n\n".join([f"Measured on {head}.", *parts])
    click.echo(text)
    if only is None:
        PAGE.write_text(_filled(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    if faults:
        raise SystemExit("; ".join(faults))


def _sources(share: int, faults: list[str]) -> str:
    """The table of the sources: forged requests, and what the worst unproved one costs."""
    rows: list[Sequence[object]] = []
    for slug, source in sorted(SOURCES.items()):
        taken = sum(accepted(slug, request) for request in itertools.islice(forged(slug), share))
        inputs = list(worst_inputs(slug))
        worst = max(
            (cost(item, CONTRACTS[slug].secrets, runs=RUNS) for item in inputs),
            key=lambda result: result.cpu_s,
        )
        rows.append(_source_row(slug, share, taken, len(inputs), worst))
        click.echo(f"{source.title}: {taken} of {share} accepted", err=True)
        if taken:
            faults.append(f"{slug}: {taken} forged requests were accepted")
        if worst.cpu_s > MOST_CPU_S:
            faults.append(f"{slug}: {worst.cpu_s * 1000:.0f} ms for {worst.worst_input.name}")
    columns = (
        "source",
        "forged",
        "accepted",
        "largest body, KiB",
        "inputs",
        "worst CPU, ms",
        "HMACs over the largest body",
        "the worst input",
    )
    return f"### Forged requests, and what an unproved one costs\n\n{table(columns, rows)}"


def _source_row(slug: str, share: int, taken: int, inputs: int, worst: Cost) -> Sequence[object]:
    return (
        slug,
        share,
        taken,
        SOURCES[slug].max_body_bytes // 1024,
        inputs,
        f"{worst.cpu_s * 1000:.2f}",
        f"{worst.ratio:.0f}",
        worst.worst_input.name,
    )


def _live(faults: list[str]) -> str:
    """The table of the attacks on a receiver that runs."""
    rows: list[LiveRow] = []
    with running() as target:
        for name, attempts, attack in attacks(SCALE):
            row = run(target, name, attempts, attack)
            click.echo(f"{row.name}: {row.effect}", err=True)
            rows.append(row)
            if row.refused:
                faults.append(f"{name}: {row.refused} genuine messages were refused")
    columns = ("attack", "attempts", "what became of them", "genuine", "refused", "worst, ms")
    lines = [
        (row.name, row.attempts, row.effect, row.genuine, row.refused, f"{row.worst_ms:.0f}")
        for row in rows
    ]
    return f"### Attacks on a receiver that runs\n\n{table(columns, lines)}"


def _filled(page: str, figures: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


if __name__ == "__main__":
    main()
