"""
`/metrics`: what Prometheus reads, and who may. Rules and dashboard ask for nothing else.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.clock import utc_now
from service.receiver.app import Addition, create_app
from service.settings import Installation, Settings
from service.store.connection import Store
from service.store.refused import RefusedRequests
from tests.fundamentals.system import System, start_system
from tests.repository.source_files import ROOT
from tests.workers.console.harness import seed
from workers.cli.serve import _additions
from workers.metrics.endpoint import Metrics
from workers.metrics.families import PREFIX

TOKEN = "metrics-token-of-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
DEPLOY = ROOT / "deploy"
NAME = re.compile(rf"{PREFIX}[a-z_]+")


@asynccontextmanager
async def _scraper(installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    metrics = Metrics.of(installation)
    app = create_app(installation, addition=Addition(metrics.routes(), metrics.close))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="https://a.test") as client,
    ):
        yield client


def _refused(count: int) -> RefusedRequests:
    return RefusedRequests(
        first_at=utc_now(),
        last_at=utc_now(),
        count=count,
        source="twilio",
        path="/webhooks/twilio",
        reason=f"reason {count}",
        status_code=401,
        network="203.0.113.0/24",
    )


def _samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    samples: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            samples.setdefault(sample.name.removeprefix(PREFIX), {})[labels] = sample.value
    return samples


@pytest.fixture
def installation(make_installation: Callable[..., Installation], redis_url: str) -> Installation:
    """An installation with metrics."""
    return make_installation(REDIS_URL=redis_url, METRICS_TOKEN=TOKEN)


async def test_the_facts_of_an_account_are_metrics(
    store: Store, installation: Installation
) -> None:
    """What `status` and `sources` show, with bounded labels."""
    async with start_system(store, installation) as system, _scraper(installation) as client:
        await seed(system)
        await store.workers.beat("worker-1", map_digest="0")
        await store.counters.add("ignored", "twilio", 3)
        await store.refused.add([_refused(3), _refused(4)])
        await store.figures.add(system.observer.tally)
        response = await client.get("/metrics", headers=HEADERS)
    assert response.headers["cache-control"] == "no-store"
    samples = _samples(response.text)
    assert samples["redis_up"] == {("default",): 1}
    assert samples["workers"] == {("default",): 1}
    assert samples["failed"] == {("default",): 1}
    assert samples["failed_by_cause"] == {("default", "buildr_rejected"): 1}
    assert samples["unmatched_calls"] == {("default",): 1}
    assert samples["left_out_total"] == {("default", "ignored", "twilio"): 3}
    assert samples["source_messages"]["default", "standard", "24h"] == 9
    assert samples["source_silent"] == {("default", "standard"): 0, ("default", "twilio"): 0}
    assert samples["budget_requests"] == {("default", "10s"): 10}
    assert {lane for _, lane in samples["waiting_calls"]} == {
        "final",
        "refinement",
        "replay",
        "backfill",
    }
    assert samples["refused_requests"] == {("default", "twilio", "401"): 7}
    # A call that was written, and one that Buildr does not know.
    assert {"2xx", "4xx"} == {status for _, status in samples["buildr_request_seconds_count"]}
    assert samples["delivery_seconds_bucket"]["default", "+Inf", "standard"] == 1
    assert "+1500" not in response.text


async def test_redis_away_is_a_metric(make_installation: Callable[..., Installation]) -> None:
    """The scrape is answered all the same."""
    away = make_installation(REDIS_URL="unix:///nowhere/redis.sock", METRICS_TOKEN=TOKEN)
    async with _scraper(away) as client:
        samples = _samples((await client.get("/metrics", headers=HEADERS)).text)
    assert samples["redis_up"] == {("default",): 0}
    assert samples["spool_messages"] == {("default",): 0}
    assert "workers" not in samples


@pytest.mark.parametrize("value", ["", "Bearer ", "Bearer wrong-token-of-16", f"Basic {TOKEN}"])
async def test_without_the_token_nothing_is_answered(
    installation: Installation, value: str
) -> None:
    """No token, a wrong one, another scheme."""
    async with _scraper(installation) as client:
        response = await client.get("/metrics", headers={"Authorization": value})
    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert PREFIX not in response.text


async def test_who_guesses_has_to_wait(installation: Installation) -> None:
    """As at the admin endpoints."""
    async with _scraper(installation) as client:
        for _ in range(6):
            response = await client.get("/metrics", headers={"Authorization": "Bearer no"})
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert int(response.headers["retry-after"]) >= 1


async def test_what_a_job_counts(store: Store, installation: Installation) -> None:
    """An outcome of the call's day, and a value that no table has."""
    async with start_system(store, installation) as system:
        await system.receive_call(buildr_call_id="110", hangup_cause="teleported")
        await system.run_worker()
        assert [("standard", "teleported")] == [*_values(system)]
        await system.receive_call(call_id="call-2", buildr_call_id="111")
        await system.run_worker("standard:call-2")
    assert ["Connected"] == [name.partition(":")[2] for name in system.observer.tally.outcomes]


def _values(system: System) -> Iterator[tuple[str, str]]:
    for name in system.observer.tally.values:
        source, _, value = name.partition(":")
        yield source, value


async def test_only_what_has_a_token_is_added(
    make_installation: Callable[..., Installation], redis_url: str
) -> None:
    """Console, metrics and alerts are off by default, each by itself."""
    paths = []
    alerts = {"ALERTS_SLACK_URL": "http://127.0.0.1:9/fake"}
    for values in ({}, {"METRICS_TOKEN": TOKEN}, {"CONSOLE_TOKEN": TOKEN}, alerts):
        addition = _additions(make_installation(REDIS_URL=redis_url, **values))
        await addition.start()
        paths.append({getattr(route, "path", "") for route in addition.routes})
        await addition.close()
    assert paths[0] == set()
    assert paths[1] == {"/metrics"}
    assert "/console" in paths[2]
    assert paths[3] == set()


def _documented() -> set[str]:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    table = page.partition("## Metrics")[2].partition("## Runbook")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {PREFIX + name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


def test_rules_and_dashboard_ask_for_metrics_that_exist() -> None:
    """A name that is misspelt would be an alert that never comes."""
    rules = (DEPLOY / "prometheus/buildr-calls.rules.yml").read_text(encoding="utf-8")
    dashboard = (DEPLOY / "grafana/buildr-calls.json").read_text(encoding="utf-8")
    json.loads(dashboard)
    source = Path(ROOT / "workers/metrics/families.py").read_text(encoding="utf-8")
    added = {PREFIX + name for name in re.findall(r'\.add\(\s*"([a-z_]+)"', source)}
    added |= {PREFIX + name for name in re.findall(r'\.times\(\s*"([a-z_]+)"', source)}
    added |= {f"{PREFIX}{name}_total" for name in re.findall(r'\.count\(\s*"([a-z_]+)"', source)}
    asked_for = set(NAME.findall(rules)) | set(NAME.findall(dashboard))
    assert {name.removesuffix("_bucket") for name in asked_for} <= added
    assert added == _documented()
    shown = {name.removesuffix("_bucket") for name in NAME.findall(dashboard)}
    assert added == shown, "a panel for each"
    ids = [panel["id"] for panel in json.loads(dashboard)["panels"]]
    assert len(ids) == len(set(ids))


def test_every_alert_has_a_runbook() -> None:
    """Its link leads to a heading of its name."""
    rules = (DEPLOY / "prometheus/buildr-calls.rules.yml").read_text(encoding="utf-8")
    page = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)", rules)
    section = page.partition("## Alerts")[2].partition("\n## ")[0]
    assert alerts == re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert re.findall(r"runbook: (\S+)", rules) == [
        f"docs/runbook.md#{alert.lower()}" for alert in alerts
    ]


def test_metrics_token_is_a_secret(make_settings: Callable[..., Settings]) -> None:
    """It is in no text of the settings."""
    assert TOKEN not in repr(make_settings(METRICS_TOKEN=TOKEN))
