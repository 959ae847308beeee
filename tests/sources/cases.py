"""
What the conformance tests work on: the contract, the fixtures and the whole calls of every source
in the registry.
"""

import importlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from msgspec.structs import replace

from service.events import CallEvent, EventType, as_dict
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import read_request
from service.sources.settings import SettingKind
from service.webhook_urls import path_token
from tests.sources.contract import SourceContract
from workers.simulator.scenarios import load, names

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
URL_SECRET: Final = "fake-url-secret-of-the-tests-0000"
BODIES: Final = ("body_form", "body_json")
EVENT_DEFAULTS: Final = as_dict(
    CallEvent(source="", message_id="", source_call_id="", leg_id="", event_type=EventType.UPDATED)
)

# Sends a request to a receiver; returns the status of the answer. The fixture `receive`.
Receive = Callable[[WebhookRequest], Awaitable[int]]


def read_contract(slug: str) -> SourceContract:
    """The contract of a source."""
    contract: SourceContract = importlib.import_module(f"tests.sources.{slug}.contract").CONTRACT
    return contract


CONTRACTS: Final[Mapping[str, SourceContract]] = {slug: read_contract(slug) for slug in SOURCES}


def fixture_names(slug: str) -> list[str]:
    """The fixtures of a source, in order."""
    return sorted(
        path.stem
        for path in (HERE / slug / "fixtures").glob("*.json")
        if not path.name.endswith(".expected.json")
    )


@cache
def fixture_text(slug: str, name: str) -> str:
    """A fixture as it is written down."""
    return (HERE / slug / "fixtures" / f"{name}.json").read_text(encoding="utf-8")


def unparsed(request: WebhookRequest) -> WebhookRequest:
    """The same request as just received: nothing of it is parsed yet."""
    return replace(request, _parsed={})


def fixture(slug: str, name: str) -> WebhookRequest:
    """A fixture as an unsigned request, just received."""
    return unparsed(_fixture(slug, name))


def signed(slug: str, name: str) -> WebhookRequest:
    """A fixture as its vendor would send it, signed with the first secret, just received."""
    return unparsed(_signed(slug, name))


@cache
def expected(slug: str, name: str) -> object:
    """
    What is written beside a fixture: its events, or what reading it raises.

    A field that is not written there has its default value.
    """
    written: object = json.loads(
        (HERE / slug / "fixtures" / f"{name}.expected.json").read_text(encoding="utf-8")
    )
    if not isinstance(written, list):
        return written
    return [{**EVENT_DEFAULTS, **event} for event in written]


@cache
def call_messages(slug: str, scenario: str) -> tuple[WebhookRequest, ...]:
    """The unsigned messages of a whole call, in their order."""
    return tuple(
        load(slug, scenario).build_requests({}, base_url=BASE_URL, start_at=NOW, rng=Random(1))
    )


def scenarios() -> Iterator[tuple[str, str]]:
    """Every source with each of its whole calls."""
    for slug in SOURCES:
        for scenario in names(slug):
            yield slug, scenario


def setting_names(slug: str) -> list[str]:
    """The settings of a source, as environment variables."""
    return [setting.name.upper() for setting in SOURCES[slug].settings]


def proof_setting(slug: str) -> str:
    """The setting that holds the secrets of a source's contract, as an environment variable."""
    return next(
        setting.name.upper()
        for setting in SOURCES[slug].settings
        if setting.kind is SettingKind.SIGNING_SECRET
    )


def addressed(slug: str, request: WebhookRequest) -> WebhookRequest:
    """
    The request at the address that the source has here: with its path token, where it wants one.
    """
    plain = f"{BASE_URL}/webhooks/{slug}"
    if not SOURCES[slug].requires_path_token or not request.url.startswith(plain):
        return request
    return replace(
        request, url=f"{plain}/t/{path_token(URL_SECRET, slug)}{request.url.removeprefix(plain)}"
    )


def values_of(slug: str, name: str) -> set[str]:
    """All values of a field of one name, at any depth of a source's fixtures, as text."""
    return {
        text
        for fixture_name in fixture_names(slug)
        for text in _find(json.loads(fixture_text(slug, fixture_name)), name)
    }


def paths_of(slug: str) -> list[tuple[str, ...]]:
    """The places of all fields in the bodies of a source's fixtures."""
    paths: set[tuple[str, ...]] = set()
    for name in fixture_names(slug):
        parts = json.loads(fixture_text(slug, name))
        for body in BODIES:
            if isinstance(parts.get(body), dict):
                paths.update(_paths(parts[body]))
    return sorted(paths)


@cache
def _fixture(slug: str, name: str) -> WebhookRequest:
    return read_request(
        fixture_text(slug, name), base_url=BASE_URL, default_path=f"/webhooks/{slug}"
    )


@cache
def _signed(slug: str, name: str) -> WebhookRequest:
    return CONTRACTS[slug].sign(fixture(slug, name), CONTRACTS[slug].secrets[0], NOW)


def _find(value: JsonValue, name: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == name:
                yield from _texts(item)
            yield from _find(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _find(item, name)


def _texts(value: JsonValue) -> Iterator[str]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bool):
            yield str(item).lower()
        elif not isinstance(item, dict | list):
            yield str(item)


def _paths(body: Mapping[str, JsonValue], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in body.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))
