"""
The page of one call, and what can be done from it: reveal, export, link.
"""

import json
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.buildr_ids import is_buildr_call_id
from service.errors import MalformedPayload
from service.store.keys import split_ref
from service.store.links import Link
from workers.console.call_facts import (
    answer_of,
    facts_of,
    next_step_of,
    read_messages,
    steps_of,
)
from workers.console.masker import Masker, masker_of
from workers.console.pages import download, redirect
from workers.console.parts import Visit
from workers.matching.customer_numbers import MatchingRules
from workers.replay.explain import StoredCallExplanation, explain_call

NOTHING_KNOWN = "Nothing is known of this call. It may have been forgotten after KEEP_CALLS_D days."
NO_ID = "The id of a call in Buildr is digits, without zeros at its beginning."


async def show(visit: Visit) -> Response:
    """`GET call?ref=`: what is known of a call, numbers hidden."""
    return await _show(visit, visit.query("ref"), is_revealed=False)


async def reveal(visit: Visit) -> Response:
    """`POST call/reveal`: the same page with its numbers."""
    visit.check_operator()
    ref = visit.field("ref")
    await visit.audit("reveal numbers", target=ref)
    return await _show(visit, ref, is_revealed=True)


async def export(visit: Visit) -> Response:
    """`POST call/export`: what `explain --json` prints; numbers are hidden for those who look."""
    ref = visit.field("ref")
    explanation = await _explain(visit, ref)
    call: dict[str, object] = {}
    masker = _masker(explanation, is_revealed=visit.session.is_operator)
    if explanation.call is not None:
        call = explanation.call.as_dict()
    content = {"ref": ref, **call, "delivery": explanation.delivery.as_dict()}
    await visit.audit("export", target=ref)
    text = json.dumps(masker.value(content), indent=2, ensure_ascii=False)
    source, _ = split_ref(ref)
    return download(text, name=f"{source}-call.json")


async def link(visit: Visit) -> Response:
    """`POST call/link`: set which Buildr call it is."""
    visit.check_operator()
    ref = visit.field("ref")
    buildr_call_id = visit.field("buildr_call_id")
    if not is_buildr_call_id(buildr_call_id):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, NO_ID)
    source, source_call_id = _split(ref)
    new_link = Link(buildr_call_id=buildr_call_id)
    is_new, _ = await visit.store.links.put(source, source_call_id, new_link)
    step = "replaced"
    if is_new:
        step = "set"
    await visit.audit("link", target=ref, detail=f"{step}: Buildr call {buildr_call_id}")
    return redirect(visit.url("call", ref=ref, done=f"link-{step}"))


async def _show(visit: Visit, ref: str, *, is_revealed: bool) -> Response:
    explanation = await _explain(visit, ref)
    masker = _masker(explanation, is_revealed=is_revealed)
    workers = await visit.store.workers.count()
    facts: dict[str, str] = {}
    unread = explanation.call is None
    if explanation.call is not None:
        facts = facts_of(explanation.call.call, masker)
    record = explanation.delivery.stored.record
    return visit.page(
        "call",
        ref,
        ref=ref,
        answer=answer_of(explanation, workers=workers),
        next_step=next_step_of(explanation),
        explanation=explanation.call,
        delivery=explanation.delivery,
        record=record,
        history=[entry for entry in record.history if entry.summary != "received"],
        facts=facts,
        is_unread=unread,
        steps=steps_of(explanation),
        messages=await read_messages(visit.store, explanation, masker),
        masked=masker.text,
        masked_field=masker.field,
        is_revealed=is_revealed,
        done=visit.query("done"),
    )


async def _explain(visit: Visit, ref: str) -> StoredCallExplanation:
    _split(ref)
    rules = MatchingRules.of(visit.settings)
    config = visit.settings.outcome_config
    try:
        explanation = await explain_call(visit.store, ref, config, rules=rules)
    except MalformedPayload as err:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(err)) from err
    if explanation is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, NOTHING_KNOWN)
    return explanation


def _masker(explanation: StoredCallExplanation, *, is_revealed: bool) -> Masker:
    return masker_of(explanation.delivery.stored.all_events, is_revealed=is_revealed)


def _split(ref: str) -> tuple[str, str]:
    try:
        return split_ref(ref)
    except ValueError as err:
        raise HTTPException(HTTPStatus.NOT_FOUND, NOTHING_KNOWN) from err
