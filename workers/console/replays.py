"""
Replays from the console: the verdicts first, then the same replay for real.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.clock import utc_now
from service.store.failed import FailedFilter
from workers.console.parts import Visit
from workers.replay.assessment import ReplayAssessment, ReplayContext
from workers.replay.candidates import (
    ReplayCandidate,
    call_candidates,
    failed_candidates,
)
from workers.replay.cost import budget_text
from workers.replay.failed_entries import select_failed
from workers.replay.replay import Replayer, replay
from workers.replay.verdicts import WRITES

# Each is read, parsed and folded: as many as fit into the time of a page.
MAX_AT_ONCE: Final = 200


async def replay_failed(visit: Visit) -> Response:
    """`POST failed/replay`: of the entries that were selected."""
    visit.check_operator()
    entry_ids = selected(visit, "id")
    entries = await select_failed(visit.store, FailedFilter(), entry_ids=tuple(entry_ids))
    context = await ReplayContext.of(visit.settings, visit.store)
    candidates = failed_candidates(visit.store, entries, context.rules, clock=utc_now)
    return await _replay(visit, context, candidates, page="failed", field="id", names=entry_ids)


async def replay_calls(visit: Visit) -> Response:
    """`POST calls/replay`: of the calls that were selected."""
    visit.check_operator()
    refs = selected(visit, "ref")
    context = await ReplayContext.of(visit.settings, visit.store)
    candidates = call_candidates(visit.store, refs, context.rules)
    return await _replay(visit, context, candidates, page="calls", field="ref", names=refs)


async def _replay(
    visit: Visit,
    context: ReplayContext,
    candidates: AsyncIterator[ReplayCandidate],
    *,
    page: str,
    field: str,
    names: Sequence[str],
) -> Response:
    is_forced = visit.field("force") == "yes"
    is_confirmed = visit.field("confirm") == "yes"
    # Buildr is not read for a page: the worker reads a call there before it writes.
    replayer = Replayer(store=visit.store, context=context, clock=utc_now, is_forced=is_forced)
    action = "replay (forced)" if is_forced else "replay"
    assessments = []
    async for assessment in replay(replayer, candidates, is_dry_run=not is_confirmed):
        assessments.append(assessment)
        # One by one: the time of the page may end before the last of them.
        if is_confirmed:
            await visit.audit(action, target=assessment.name, detail=assessment.verdict.label)
    writes = [assessment for assessment in assessments if assessment.verdict in WRITES]
    counts = Counter(assessment.verdict.label for assessment in assessments)
    summary = ", ".join(f"{label}: {number}" for label, number in counts.most_common())
    title = "Replay?"
    back = visit.url("failed")
    if page == "calls":
        back = visit.url("calls")
        if len(names) == 1:
            back = visit.url("call", ref=names[0])
    if is_confirmed:
        title = "Replayed"
    return visit.page(
        page,
        title,
        template="replay.html",
        action=visit.url(f"{page}/replay"),
        field=field,
        names=names,
        assessments=assessments,
        writes=writes,
        summary=summary,
        cost=budget_text(_requests(writes), visit.settings.buildr_budgets),
        is_forced=is_forced,
        is_confirmed=is_confirmed,
        back=back,
    )


def _requests(writes: Sequence[ReplayAssessment]) -> int:
    # Several failed messages of one call are one write.
    by_call = {assessment.candidate.ref: assessment.requests for assessment in writes}
    return sum(by_call.values())


def selected(visit: Visit, field: str) -> list[str]:
    """What was selected, once each. Raises 400 if it is nothing, or too much for one page."""
    names = list(dict.fromkeys(name for name in visit.form.get(field, []) if name))
    if not names:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Select at least one row.")
    if len(names) > MAX_AT_ONCE:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"Select at most {MAX_AT_ONCE} rows.")
    return names
