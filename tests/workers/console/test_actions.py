"""
What can be done in the console, by whom, and that it is kept.
"""

import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus

import pytest
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from service.store.delivery_state import DeliveryState
from tests.fundamentals.system import System
from tests.workers.console.harness import (
    DELIVERED,
    FAILED,
    NUMBER,
    UNMATCHED,
    Browser,
    failed_ids,
    text_of,
)
from workers.console import replays
from workers.replay.assessment import ReplayAssessment
from workers.replay.candidates import ReplayCandidate
from workers.replay.replay import Replayer, replay

FORMS: Mapping[str, Mapping[str, str]] = {
    "call/reveal": {"ref": DELIVERED},
    "call/link": {"ref": UNMATCHED, "buildr_call_id": "112"},
    "calls/replay": {"ref": DELIVERED, "confirm": "yes"},
    "failed/replay": {"id": FAILED, "confirm": "yes"},
    "failed/discard": {"id": FAILED, "reason": "a trial"},
}


async def test_who_may_look_may_not_change(system: System, reader: Browser) -> None:
    """No form that changes something is on a reader's pages, and none of them works."""
    page = await reader.get(f"/default/call?ref={DELIVERED}")
    assert "Replay…" not in page
    for path, fields in FORMS.items():
        response = await reader.send(f"/default/{path}", fields)
        assert response.status_code == HTTPStatus.FORBIDDEN
    assert [FAILED] == await failed_ids(system)
    assert await system.store.links.get("standard", "call-2") is None


async def test_forms_of_other_sites_are_refused(system: System, operator: Browser) -> None:
    """Neither without the page's token, nor with it from another site."""
    await operator.get("/default/failed")
    token = operator.form_token
    for path, fields in FORMS.items():
        operator.form_token = "0" * 64
        assert (await operator.send(f"/default/{path}", fields)).status_code == 403
    operator.form_token = token
    operator.client.headers["Sec-Fetch-Site"] = "cross-site"
    for path, fields in FORMS.items():
        assert (await operator.send(f"/default/{path}", fields)).status_code == 403
    assert [FAILED] == await failed_ids(system)


async def test_failed_calls_are_replayed_after_their_verdict(
    system: System, operator: Browser
) -> None:
    """The first answer changes nothing, the second does what it says."""
    await operator.get("/default/failed")
    dry = await operator.send("/default/failed/replay", {"id": FAILED})
    assert "will write, unless hand-edited in Buildr" in text_of(dry.text)
    assert [FAILED] == await failed_ids(system)
    done = await operator.send("/default/failed/replay", {"id": FAILED, "confirm": "yes"})
    assert "1 on their way to Buildr." in text_of(done.text)
    assert [] == await failed_ids(system)
    actions = text_of(await operator.get("/default/actions"))
    assert f"replay {FAILED} will write, unless hand-edited in Buildr operator" in actions


@pytest.mark.usefixtures("system")
async def test_what_was_replayed_is_kept_if_the_page_takes_too_long(
    operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each replay is in the list of actions before the next one begins."""

    async def slow(
        replayer: Replayer, candidates: AsyncIterator[ReplayCandidate], *, is_dry_run: bool
    ) -> AsyncIterator[ReplayAssessment]:
        async for assessment in replay(replayer, candidates, is_dry_run=is_dry_run):
            yield assessment
        raise HTTPException(HTTPStatus.GATEWAY_TIMEOUT, "This page took too long to make.")

    monkeypatch.setattr(replays, "replay", slow)
    await operator.get("/default/failed")
    answer = await operator.send("/default/failed/replay", {"id": FAILED, "confirm": "yes"})
    assert HTTPStatus.GATEWAY_TIMEOUT == answer.status_code
    assert f"replay {FAILED} will write" in text_of(await operator.get("/default/actions"))


async def test_a_delivered_call_is_written_again_only_by_force(
    operator: Browser, system: System
) -> None:
    """The verdict says that Buildr has it already."""
    await operator.get("/default/failed")
    plain = await operator.send("/default/calls/replay", {"ref": DELIVERED})
    assert "already written" in text_of(plain.text)
    forced = await operator.send(
        "/default/calls/replay", {"ref": DELIVERED, "force": "yes", "confirm": "yes"}
    )
    assert "will write (forced)" in text_of(forced.text)
    stored = await system.stored(DELIVERED)
    assert stored.replay_request is not None
    assert stored.replay_request.is_forced


async def test_a_call_is_linked_by_hand(system: System, operator: Browser) -> None:
    """It goes on with the link at once."""
    await operator.get("/default/unmatched")
    response = await operator.send(
        "/default/call/link", {"ref": UNMATCHED, "buildr_call_id": "112"}
    )
    assert "The link is set" in response.text
    await system.run_worker(UNMATCHED)
    assert (await system.stored(UNMATCHED)).record.state is DeliveryState.DELIVERED
    for wrong in ("", "0112", "112x", "1" * 21):
        fields = {"ref": UNMATCHED, "buildr_call_id": wrong}
        refused = await operator.send("/default/call/link", fields)
        assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


async def test_failed_calls_are_discarded_with_a_reason(system: System, operator: Browser) -> None:
    """Without one nothing happens; with one it is kept, and logged."""
    await operator.get("/default/failed")
    refused = await operator.send("/default/failed/discard", {"id": FAILED, "reason": " "})
    assert refused.status_code == HTTPStatus.BAD_REQUEST
    assert [FAILED] == await failed_ids(system)
    too_many = [FAILED, *map(str, range(200))]
    refused = await operator.send("/default/failed/discard", {"id": too_many, "reason": "a trial"})
    assert "at most 200" in refused.text
    assert [FAILED] == await failed_ids(system)
    await operator.get("/default/failed")
    with capture_logs() as entries:
        response = await operator.send(
            "/default/failed/discard", {"id": [FAILED, "gone"], "reason": "a trial"}
        )
    assert "1 discarded." in response.text
    assert [] == await failed_ids(system)
    lines = [entry for entry in entries if entry["event"] == "console.action"]
    assert [("discard", FAILED, "a trial", "203.0.113.7")] == [
        (line["action"], line["target"], line["detail"], line["client"]) for line in lines
    ]


async def test_nothing_selected_is_nothing_done(system: System, operator: Browser) -> None:
    """An empty selection never means everything, and too large a one is refused."""
    await operator.get("/default/failed")
    assert (await operator.send("/default/failed/replay", {})).status_code == 400
    ids = [f"standard:{number}" for number in range(201)]
    assert (await operator.send("/default/failed/replay", {"id": ids})).status_code == 400
    assert (await operator.send("/default/failed/replay", {"a": "b" * 300_000})).status_code == 413
    assert [FAILED] == await failed_ids(system)


@pytest.mark.usefixtures("system")
async def test_an_operator_exports_a_call_with_its_numbers(operator: Browser) -> None:
    """As a file, of the form of `explain --json`."""
    await operator.get("/default/overview")
    response = await operator.send("/default/call/export", {"ref": DELIVERED})
    assert 'filename="standard-call.json"' in response.headers["content-disposition"]
    content = json.loads(response.text)
    assert content["ref"] == DELIVERED
    assert content["delivery"]["state"] == "delivered"
    assert NUMBER in response.text


@pytest.mark.usefixtures("system")
async def test_a_reader_exports_a_call_without_its_numbers(reader: Browser) -> None:
    """It is JSON all the same."""
    await reader.get("/default/overview")
    response = await reader.send("/default/call/export", {"ref": DELIVERED})
    assert json.loads(response.text)["ref"] == DELIVERED
    assert NUMBER.removeprefix("+") not in response.text
