"""
The worked example of CONTRIBUTING.md is a whole source: it is run here as it is there.
"""

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from service.errors import IgnoredEvent, InvalidSignature
from service.events import EventType, Result
from service.sources import Source
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from tests.sources.contract import SourceContract
from workers.calls.fold import fold

TEXT: Final = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
NOW: Final = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


def block(language: str, place: int = 0) -> str:
    result: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL
    )
    return result[place]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> tuple[Source, SourceContract]:
    """The source and the kit of the page, made modules under the names that the page gives them."""
    made = []
    for name, code in (
        ("service.sources.acme.source", block("python")),
        ("tests.sources.acme.contract", block("python", 1)),
    ):
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        if name.startswith("service"):
            package = ModuleType("service.sources.acme")
            monkeypatch.setitem(sys.modules, package.__name__, package)
            monkeypatch.setattr(package, "source", module, raising=False)
        exec(compile(code, name, "exec"), module.__dict__)
        made.append(module)
    return made[0].Acme(), made[1].CONTRACT


def test_worked_example_is_a_source(example: tuple[Source, SourceContract]) -> None:
    """The kit's signature is genuine, a changed body is not, and the fixture means what it says."""
    source, kit = example
    request = kit.sign(
        build_request(json.loads(block("json")), base_url="https://hooks.example.test"),
        kit.secrets[1],
        NOW,
    )
    source.verify(request, Secrets(kit.secrets), NOW)
    with pytest.raises(InvalidSignature):
        source.verify(replace(request, body=request.body + b" "), Secrets(kit.secrets), NOW)
    with pytest.raises(InvalidSignature):
        source.verify(request, Secrets(kit.secrets[:1]), NOW)
    call = fold(source.parse(request, "m1"))
    assert (Result.BUSY, "a-1", "+15005550001") == (
        call.result,
        source.keys(request).source_call_id,
        call.to_number,
    )
    source.verify(source.sign(request, Secrets(kit.secrets), NOW), Secrets(kit.secrets[:1]), NOW)


def test_worked_example_reports_what_it_does_not_know(
    example: tuple[Source, SourceContract],
) -> None:
    """A strange word decides nothing, one that is known and not wanted is ignored."""
    source, kit = example
    body = json.loads(block("json"))["body_json"]
    for value in kit.unknown_values:
        (event,) = source.parse(
            build_request(
                {"body_json": body | {"event": value}}, base_url="https://hooks.example.test"
            ),
            "m1",
        )
        assert (EventType.UNKNOWN, value) == (event.event_type, event.vendor_status)
    with pytest.raises(IgnoredEvent):
        source.keys(
            build_request(
                {"body_json": body | {"event": "contact.changed"}},
                base_url="https://hooks.example.test",
            )
        )
