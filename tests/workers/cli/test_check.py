"""
`check`: what a newcomer does wrong is found, with its cure in the same line, and nothing is
changed.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from service.receiver.app import create_app
from service.settings import Installation, Settings
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import listening
from tests.workers.cli.conftest import Run
from workers.buildr import BuildrClient
from workers.cli.checks.values import value_findings
from workers.sandbox.app import create_sandbox
from workers.sandbox.config import SandboxConfig

Findings = dict[str, list[dict[str, object]]]
HEX = "0123456789abcdef"


@pytest.fixture
def buildr() -> Iterator[dict[str, str]]:
    """A sandbox that listens, and the settings for it."""
    with listening(create_sandbox(SandboxConfig())) as url:
        yield {
            "BUILDR_API_URL": f"{url}/api/2023-01",
            "BUILDR_TOKEN_URL": f"{url}/oauth/token",
            "BUILDR_CLIENT_ID": "sandbox-client",
            "BUILDR_CLIENT_SECRET": "sandbox-secret",
            # The Redis of the tests writes once a second.
            "REDIS_DURABILITY": "off",
        }


def checked(run: Run, *, code: int, **more: str) -> Findings:
    """What `check` finds, by the title of the finding."""
    findings: Findings = {}
    printed = run("check", "--json", code=code, **more).stdout
    # The sandbox runs in this process, and logs to the same stdout.
    for item in json.loads(printed[printed.index("[\n  {") :]):
        findings.setdefault(item["what"], []).append(item)
    return findings


def detail(findings: Findings, title: str) -> str:
    """The text of the only finding with a title."""
    (finding,) = findings[title]
    return str(finding["detail"])


def snapshot(redis_url: str) -> dict[bytes, bytes | None]:
    """Every key, with its value as Redis writes it."""
    with Redis.from_url(redis_url) as client:
        return {key: client.dump(key) for key in client.scan_iter("*")}


def test_wrong_secret_is_found_though_a_token_is_cached(
    run: Run, redis_url: str, buildr: dict[str, str]
) -> None:
    """`check` asks for a token of its own; no outage begins, and no key of Redis changes."""
    run("outcomes", "list", **buildr)
    before = snapshot(redis_url)
    assert any(b"token" in key for key in before)
    wrong = checked(run, code=1, **{**buildr, "BUILDR_CLIENT_SECRET": "another-secret"})
    assert "gives no access token (invalid_client)" in detail(wrong, "buildr")
    assert "check BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET" in detail(wrong, "buildr")
    right = checked(run, code=0, **buildr)
    assert "accepts the credentials" in detail(right, "buildr")
    assert "all that are named exist" in detail(right, "outcomes")
    refused = checked(
        run,
        code=1,
        BUILDR_API_URL=buildr["BUILDR_API_URL"],
        BUILDR_ACCESS_TOKEN="a-token-of-somebody-else",
    )
    assert "refuses BUILDR_ACCESS_TOKEN (401): set a new one" in detail(refused, "buildr")
    assert before == snapshot(redis_url)


def test_a_slow_buildr_is_not_a_slow_redis(
    run: Run, buildr: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page of outcomes in time, and all of them too late."""

    async def time_out(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(BuildrClient, "call_outcomes_page", time_out)
    findings = checked(run, code=1, **buildr)
    assert "call outcomes were not read within 16 s" in detail(findings, "buildr")


def test_outcomes_that_the_account_has_not(
    run: Run, redis_url: str, buildr: dict[str, str], tmp_path: Path
) -> None:
    """By name and by id, with those that there are; while workers use the budget, as they know."""
    toml = '[outcomes]\nconnected = 999\nbusy = "Bussy"\n'
    (tmp_path / "buildr-calls.toml").write_text(toml, encoding="utf-8")
    text = detail(checked(run, code=1, **buildr), "outcomes")
    assert 'outcomes.busy: the account has no call outcome "Bussy"; did you mean "busy"?' in text
    assert "outcomes.connected: the account has no call outcome with the id 999" in text
    assert "Busy (790)" in text
    with Redis.from_url(redis_url) as client:
        now_ms = time.time() * 1000
        client.zadd("bc:default:limit", {f"p{number}": now_ms for number in range(6)})
    assert "run this again in a minute" in detail(checked(run, code=0, **buildr), "outcomes")
    with Redis.from_url(redis_url) as client:
        stored = {"names": [["Busy", "790"]], "read_at": "2026-11-28T10:00:00Z"}
        client.set("bc:default:outcomes", json.dumps(stored))
    assert "as the workers read them" in detail(checked(run, code=1, **buildr), "outcomes")


@pytest.mark.parametrize(
    ("name", "value", "verdict", "text"),
    [
        ("TWILIO_AUTH_TOKEN", f'"{HEX}{HEX}"', "FAIL", "is in quotes, which count"),
        ("TWILIO_AUTH_TOKEN", f"\u201c{HEX}{HEX}\u201d", "FAIL", "is in quotes, which count"),
        ("TWILIO_AUTH_TOKEN", f"AC{HEX}{HEX}", "FAIL", "is an account SID: set the auth token"),
        ("TWILIO_AUTH_TOKEN", HEX, "WARN", "has 16 characters and does not look like"),
        ("TWILIO_AUTH_TOKEN", f"TWILIO_AUTH_TOKEN={HEX}", "FAIL", "begins with its own name"),
        ("TWILIO_AUTH_TOKEN", "${TWILIO_AUTH_TOKEN}", "FAIL", "that nothing has filled"),
        ("TWILIO_AUTH_TOKEN", "your_auth_token", "FAIL", "is an example's text"),
        ("TWILIO_API_KEY", f"AC{HEX}{HEX}", "FAIL", "is an account SID: set the api key"),
        ("PLIVO_AUTH_TOKEN", "MA" + "A1" * 9, "FAIL", "is an auth id: set the auth token"),
        ("SIGNALWIRE_SIGNING_KEY", "PT" + "0a" * 25, "FAIL", "is an API token"),
        ("VONAGE_SIGNATURE_SECRET", "0a1b2c3d", "FAIL", "is an API key"),
        ("RINGCENTRAL_JWT", "not-a-token", "WARN", "three parts with dots"),
        ("BUILDR_CLIENT_SECRET", "'a-secret'", "FAIL", "is in quotes"),
        ("BUILDR_ACCESS_TOKEN", "Bearer0123", "FAIL", "begins with Bearer"),
        ("ADMIN_TOKEN", "changeme-changeme", "FAIL", "is an example's text"),
    ],
)
def test_values_that_were_copied_wrongly(
    make_settings: Callable[..., Settings], name: str, value: str, verdict: str, text: str
) -> None:
    """Named with what is wrong, never with their value."""
    more = {"BUILDR_CLIENT_ID": "client"} if name == "BUILDR_CLIENT_SECRET" else {}
    settings = make_settings(**{"TWILIO_AUTH_TOKEN": HEX + HEX, name: value}, **more)
    (finding,) = value_findings(settings)
    assert (verdict, name) == (finding.verdict[0], finding.detail.partition(" ")[0])
    assert text in finding.detail
    assert value not in finding.detail


def test_halves_and_sources_that_are_off(run: Run, redis_url: str) -> None:
    """Half a pair; credentials of a source that is off; one that has sent, or is silent."""
    with Redis.from_url(redis_url) as client:
        at = str(int(time.time() * 1000))
        fields = {"message:plivo": at, "message:twilio": at, "silent:twilio": at}
        client.hset("bc:default:heard", mapping=fields)
    findings = checked(
        run, code=1, TWILIO_API_KEY=f"SK{HEX}{HEX}", ZOOM_ACCOUNT_ID="zoom", ZOOM_CLIENT_ID="zoom"
    )
    details = " ".join(str(item["detail"]) for item in findings["credentials"])
    assert "TWILIO_API_KEY is set, and TWILIO_API_SECRET is not" in details
    assert "zoom is off, so that its webhooks are refused" in details
    assert "set ZOOM_SECRET_TOKEN too" in details
    assert "set ZOOM_CLIENT_SECRET" in detail(findings, "call log")
    assert "plivo is off, and sent until" in detail(findings, "source off")
    assert "twilio has sent nothing since" in detail(findings, "silent")
    quoted = run("check", code=1, TELNYX_PUBLIC_KEY='"QUJD"').stderr
    assert "it is in quotes, which count" in quoted


def test_public_url_leads_to_this_installation(
    run: Run, redis_url: str, make_installation: Callable[..., Installation]
) -> None:
    """By an id in Redis that the receiver names; another account's receiver is another one."""
    app = create_app(make_installation(REDIS_URL=redis_url, SPOOL_DIR="off"))
    with listening(app, lifespan="on") as url:
        fine = checked(run, code=1, PUBLIC_URL=url)
        assert f"{url} reaches this receiver, from this machine only" == detail(fine, "public url")
        other = checked(run, code=1, PUBLIC_URL=url, ACCOUNT="trial")
        assert "reaches the receiver of another installation" in detail(other, "public url")
        text = checked(run, code=1, PUBLIC_URL=url.replace("http", "https"))
        assert "is not https: correct PUBLIC_URL" in detail(text, "public url")
        away = checked(run, code=1, PUBLIC_URL=url, REDIS_URL="redis://127.0.0.1:1/0")
        assert "which one is not known without Redis" in detail(away, "public url")


async def _page(_: Request) -> Response:
    return PlainTextResponse("a page of a hosting company")


async def _to_https(_: Request) -> Response:
    return RedirectResponse("https://calls.example.test/webhooks/healthz")


async def _bad_gateway(_: Request) -> Response:
    return PlainTextResponse("bad gateway", status_code=502)


def test_public_url_that_leads_elsewhere(run: Run) -> None:
    """A page, a redirect, a proxy with nothing behind it, nothing at all: each with its cure."""
    handlers = {"page": _page, "moved": _to_https, "proxy": _bad_gateway}
    routes = [Route(f"/{name}/webhooks/healthz", handler) for name, handler in handlers.items()]
    cures = {
        "page": "something else is there",
        "moved": "set PUBLIC_URL=https://calls.example.test here",
        "proxy": "the proxy finds no receiver behind it",
    }
    with listening(Starlette(routes=routes)) as url:
        for name, cure in cures.items():
            findings = checked(run, code=1, PUBLIC_URL=f"{url}/{name}")
            assert cure in detail(findings, "public url")
    closed = checked(run, code=1, PUBLIC_URL=url)
    assert "refuses the connection: nothing listens there" in detail(closed, "public url")
    unset = checked(run, code=1, PUBLIC_URL="")
    assert "is not the one that twilio signs" in detail(unset, "public url")


def test_subscriptions_are_read_at_the_vendor(run: Run, redis_url: str) -> None:
    """What the vendor lists now, whatever the worker has stored; nothing is made there."""
    standin = RingCentral()
    with listening(standin) as url:
        settings = {
            "PUBLIC_URL": "https://hooks.example.test",
            "URL_SECRET": "url-secret-of-the-tests-" + "1" * 20,
            "RINGCENTRAL_VERIFICATION_TOKEN": "rc-verification-token-of-the-tests",
            "RINGCENTRAL_CLIENT_ID": "rc-client",
            "RINGCENTRAL_CLIENT_SECRET": "rc-client-secret",
            "RINGCENTRAL_JWT": "rc-jwt-of-the-tests",
            "RINGCENTRAL_API_URL": url,
        }
        before = snapshot(redis_url)
        text = detail(checked(run, code=1, **settings), "subscription")
        assert text.startswith("ringcentral: missing: ")
        assert text.endswith("or: buildr-calls subscriptions ensure ringcentral")
        assert not standin.stored
        assert before == snapshot(redis_url)


def test_findings_are_lines_in_their_order(run: Run) -> None:
    """What the settings show comes first; a failed check is exit code 1."""
    lines = run("check", code=1).stdout.splitlines()
    assert ["settings", "sources", "secrets"] == [line[5:].split()[0] for line in lines[:3]]
    assert "buildr" == lines[-1][5:].split()[0]


def test_a_file_of_variables_that_does_not_count_is_found(run: Run, tmp_path: Path) -> None:
    """One that nothing names, and a name in one that is nearly a setting; without its value."""
    (tmp_path / ".env").write_text("BUILDR_ACCESS_TOKN=secret\nHOSTNAME=a\nSETTLE_S=3\nEMPTY=\n")
    (first, *_) = run("check", code=1).stdout.splitlines()
    assert "WARN env file       .env is here, and nothing reads it: export ENV_FILE=.env" == first
    (first, *_) = run("check", code=1, ENV_FILE=".env").stdout.splitlines()
    assert first == (
        "WARN env file       .env: BUILDR_ACCESS_TOKN is no setting; "
        "did you mean BUILDR_ACCESS_TOKEN?"
    )
    # What is in the environment counts: nothing is missing.
    assert "env file" not in run("check", code=1, SETTLE_S="3").stdout
