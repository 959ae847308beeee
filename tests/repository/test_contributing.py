"""
The worked example of CONTRIBUTING.md is a whole source: it is run here as it is there.
"""

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from msgspec.structs import replace

from service.errors import IgnoredEvent, InvalidSignature
from service.events import EventType, Result
from service.sources import Source
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from tests.sources.contract import SourceContract
from workers.calls.fold import fold

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NOW: Final = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


PYTHON_FILE: Final = re.compile(
    r"^`([^`\n]+)\.py`\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL
)
FIXTURE: Final = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


def fixture() -> dict[str, Any]:
    """The request file that the page shows."""
    (text,) = FIXTURE.findall(TEXT)
    request: dict[str, Any] = json.loads(text)
    return request


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> tuple[Source, SourceContract]:
    """The source and the contract of the page, from modules named by the paths that it gives."""
    modules: dict[str, ModuleType] = {}
    for path, code in PYTHON_FILE.findall(TEXT):
        name = path.replace("/", ".")
        package_name, _, module_name = name.rpartition(".")
        package = sys.modules.get(package_name) or ModuleType(package_name)
        monkeypatch.setitem(sys.modules, package_name, package)
        modules[name] = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, modules[name])
        monkeypatch.setattr(package, module_name, modules[name], raising=False)
        # Not under the path of the page: coverage would look for a file there.
        exec(compile(code, f"<{path} of CONTRIBUTING.md>", "exec"), modules[name].__dict__)
    source = modules["service.sources.acme.source"].Acme()
    return source, modules["tests.sources.acme.contract"].CONTRACT


def test_every_python_block_has_its_path() -> None:
    """No block of the example is left out of the tests below."""
    assert TEXT.count("```python\n") == len(PYTHON_FILE.findall(TEXT))


def test_paths_of_the_map_exist() -> None:
    """The first column of the map names folders that are there."""
    rows = re.findall(r"^\| (`[^|]+) \|", TEXT, flags=re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    folders = [ROOT / path.replace("<vendor>", "twilio") for path in paths]
    assert [] == [folder for folder in folders if not folder.is_dir()]
    assert len(paths) > 20


def test_worked_example_is_a_source(example: tuple[Source, SourceContract]) -> None:
    """The contract's signature is genuine, a changed body is not, and the fixture is busy."""
    source, contract = example
    request = contract.sign(
        build_request(fixture(), base_url="https://hooks.example.test"),
        contract.secrets[1],
        NOW,
    )
    source.verify(request, Secrets(contract.secrets), NOW)
    with pytest.raises(InvalidSignature):
        source.verify(replace(request, body=request.body + b" "), Secrets(contract.secrets), NOW)
    with pytest.raises(InvalidSignature):
        source.verify(request, Secrets(contract.secrets[:1]), NOW)
    call = fold(source.parse(request, "m1"))
    assert (Result.BUSY, "a-1", "+15005550001") == (
        call.result,
        source.keys(request).source_call_id,
        call.to_number,
    )
    source.verify(
        source.sign(request, Secrets(contract.secrets), NOW), Secrets(contract.secrets[:1]), NOW
    )


def test_worked_example_reports_what_it_does_not_know(
    example: tuple[Source, SourceContract],
) -> None:
    """An unknown value decides nothing, and a message that is not about a call is ignored."""
    source, contract = example
    body = fixture()["body_json"]
    for value in contract.unknown_values:
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
