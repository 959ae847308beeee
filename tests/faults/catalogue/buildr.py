"""
Buildr away, slow, wrong or nonsensical. What is required of it holds whatever it does, as long as
it comes back.
"""

from typing import Final

from tests.faults.actions import buildr, buildr_recovers, cut, proxy, repeatedly, write_late
from tests.faults.calls import STANDARD_LATE_VOICEMAIL
from tests.faults.proxy import Mode
from tests.faults.scenario import At, Layout, Scenario, Via
from tests.faults.traffic import Traffic

MANY: Final = 1_000_000
# From the return of Buildr to the first delivery.
RESUME_S: Final = 5
THROUGH_PROXY: Final = Layout(via=frozenset({Via.BUILDR}))


def _misbehaves(
    name: str, title: str, *, from_s: float = 4, to_s: float = 19, **fault: object
) -> Scenario:
    """Buildr misbehaves in one way from one moment to another."""
    return Scenario(
        name=name,
        title=title,
        steps=(
            At(at_s=from_s, action=buildr(**{"times": MANY, **fault})),
            At(at_s=to_s, action=buildr_recovers),
        ),
        recovery_s=90,
        resume_within_s=RESUME_S,
    )


SCENARIOS: Final = (
    _misbehaves("buildr-500", "Buildr answers 500 for 15 s", kind="status", status=500),
    _misbehaves("buildr-401", "Buildr answers 401 for 15 s", kind="status", status=401),
    _misbehaves(
        "buildr-404", "Buildr answers 404 to everything for 15 s", kind="status", status=404
    ),
    _misbehaves("buildr-reset", "Buildr's answers are cut off for 15 s", kind="reset"),
    _misbehaves(
        "buildr-reset-done",
        "Buildr does everything, and its answers are cut off, for 15 s",
        kind="reset",
        is_applied=True,
    ),
    _misbehaves("buildr-nonsense", "Buildr answers half of a JSON for 15 s", kind="garbage"),
    _misbehaves("buildr-html", "Buildr answers 200 with a page of HTML for 15 s", kind="html"),
    _misbehaves(
        "buildr-hangs", "Buildr takes requests and never answers, for 15 s", kind="timeout"
    ),
    _misbehaves(
        "buildr-slow", "Buildr takes 2 s for each answer, for 15 s", kind="slow", seconds=2
    ),
    Scenario(
        name="buildr-away-15s",
        title="Buildr away for 15 s",
        layout=THROUGH_PROXY,
        steps=(
            At(at_s=4, action=proxy(Via.BUILDR, Mode.REFUSE)),
            At(at_s=19, action=proxy(Via.BUILDR, Mode.PASS)),
        ),
        resume_within_s=RESUME_S,
    ),
    Scenario(
        name="buildr-away-60s",
        title="Buildr away for 60 s",
        layout=THROUGH_PROXY,
        steps=(
            At(at_s=4, action=proxy(Via.BUILDR, Mode.REFUSE)),
            At(at_s=64, action=proxy(Via.BUILDR, Mode.PASS)),
        ),
        resume_within_s=RESUME_S,
    ),
    Scenario(
        name="buildr-cut",
        title="all connections to Buildr reset, 20 times",
        layout=THROUGH_PROXY,
        steps=(At(at_s=3, action=repeatedly(cut(Via.BUILDR), times=20, every_s=0.7)),),
    ),
    Scenario(
        name="buildr-token-void",
        title="Buildr away for 15 s, and its token is void afterwards",
        layout=THROUGH_PROXY,
        steps=(
            At(at_s=4, action=proxy(Via.BUILDR, Mode.REFUSE)),
            At(at_s=19, action=buildr(kind="revoke_token")),
            At(at_s=19, action=proxy(Via.BUILDR, Mode.PASS)),
        ),
        resume_within_s=RESUME_S,
    ),
    Scenario(
        name="buildr-names-an-hour",
        title="one 429 that names an hour",
        steps=(At(at_s=4, action=buildr(kind="rate_limit", seconds=3600)),),
        recovery_s=90,
    ),
    Scenario(
        name="buildr-names-an-hour-often",
        title="every answer a 429 that names an hour, for 10 s",
        steps=(
            At(at_s=4, action=buildr(kind="rate_limit", seconds=3600, times=MANY)),
            At(at_s=14, action=buildr_recovers),
        ),
        recovery_s=120,
    ),
    Scenario(
        name="buildr-ignores-outcome",
        title="Buildr answers 200 and has not taken the outcome, 80 times",
        steps=(
            At(at_s=3, action=buildr(kind="not_taken", times=80)),
            At(at_s=18, action=buildr_recovers),
        ),
        recovery_s=120,
    ),
    Scenario(
        name="buildr-writes-late",
        title="16 writes whose answers are lost are carried out 12 s late, over newer ones",
        traffic=Traffic(calls=64, over_s=12, kinds=(STANDARD_LATE_VOICEMAIL,)),
        steps=(
            At(at_s=0, action=write_late(range(0, 64, 4), seconds=12)),
            # All of them have been carried out.
            At(at_s=30, action=buildr_recovers),
        ),
        recovery_s=150,
        linger_s=15,
    ),
)
