"""
Two accounts in one installation, over one real Redis: what one has, the other never sees, fills,
opens or proves.
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from click.testing import CliRunner, Result
from redis import Redis
from rich.console import Console
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from service.receiver.app import create_app
from service.settings import Installation
from service.sources import WebhookRequest
from service.store.connection import Store, open_store
from tests.conftest import ADMIN_TOKEN, STANDARD_SECRET, TWILIO_TOKEN
from tests.e2e.harness import System, wait_for
from workers.cli.main import cli
from workers.local.run import LocalRun, RunOptions
from workers.local.terminal import Screen
from workers.simulator.requests import to_receiver

BASE = "https://hooks.example.test"
OTHER_TOKEN = "OTHER000000000000000000000000000"
OTHER_ADMIN = "admin-token-of-the-other"
CALL = "CA00000000000000000000000000000001"
REF = f"twilio:{CALL}"
TOML = f"""
[accounts.acme]
buildr_access_token = "other-token-of-the-tests"
twilio_auth_token = "{OTHER_TOKEN}"
admin_token = "{OTHER_ADMIN}"
max_pending = 1
"""
MakeInstallation = Callable[..., Installation]
Run = Callable[..., Result]


@pytest.fixture
def installation(
    redis_url: str, tmp_path: Path, make_installation: MakeInstallation
) -> Installation:
    """The default account, and one called acme in which one message may wait."""
    (tmp_path / "buildr-calls.toml").write_text(TOML, encoding="utf-8")
    return make_installation(REDIS_URL=redis_url)


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the receiver of both accounts."""
    app = create_app(installation)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://inner.example.test") as opened,
    ):
        yield opened


@pytest.fixture
async def stores(installation: Installation) -> AsyncIterator[tuple[Store, Store]]:
    """The records of the default account, and of acme."""
    async with (
        open_store(installation.default, role="cli") as default,
        open_store(installation.account("acme"), role="cli") as acme,
    ):
        yield default, acme


async def send(
    client: httpx.AsyncClient, path: str, *, token: str, call: str = CALL
) -> httpx.Response:
    """
    Send a webhook that Twilio's own library signs with a token, over the path that it goes to.
    """
    form = {"CallSid": call, "CallStatus": "ringing"}
    signature = RequestValidator(token).compute_signature(BASE + path, form)
    return await client.post(path, data=form, headers={"X-Twilio-Signature": signature})


async def accounts_in(store: Store) -> set[str]:
    """The accounts that have any key in Redis."""
    return {
        key.decode().split(":")[1] async for key in store.redis.scan_iter(match="bc:*", count=1000)
    }


async def test_same_message_is_new_to_each_account(
    client: httpx.AsyncClient, stores: tuple[Store, Store]
) -> None:
    """A call that two accounts are reported of is kept in both, and each knows its own repeats."""
    sent = [("/webhooks/twilio", TWILIO_TOKEN), ("/webhooks/acme/twilio", OTHER_TOKEN)]
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as entries:
        answers = [await send(client, path, token=token) for path, token in (*sent, *sent)]
    assert all(answer.is_success for answer in answers)
    assert [
        ("message.accepted", "default"),
        ("message.accepted", "acme"),
        ("message.duplicate", "default"),
        ("message.duplicate", "acme"),
    ] == [(entry["event"], entry["account"]) for entry in entries]
    for store, account in zip(stores, ("default", "acme"), strict=True):
        assert 1 == len((await store.calls.load(REF)).pending)
        assert [f"{account}|{REF}".encode()] == await store.redis.zrange(
            f"bc:{account}:queue", 0, -1
        )


async def test_records_lie_under_the_accounts_own_name(
    client: httpx.AsyncClient, stores: tuple[Store, Store]
) -> None:
    """What comes in for one account leaves no key under the other's name."""
    assert (await send(client, "/webhooks/acme/twilio", token=OTHER_TOKEN)).is_success
    assert {"acme"} == await accounts_in(stores[0])
    assert () == (await stores[0].calls.load(REF)).pending


@pytest.mark.parametrize(
    ("path", "token"), [("/webhooks/twilio", OTHER_TOKEN), ("/webhooks/acme/twilio", TWILIO_TOKEN)]
)
async def test_secret_of_another_account_proves_nothing(
    client: httpx.AsyncClient, stores: tuple[Store, Store], path: str, token: str
) -> None:
    """A message is proved by the secret of the account that it is sent to, and by no other."""
    assert 401 == (await send(client, path, token=token)).status_code
    assert set() == await accounts_in(stores[0])


async def test_source_that_only_another_account_has_is_off(client: httpx.AsyncClient) -> None:
    """A secret at the top of the file turns on nothing in an account below it."""
    on, off = [
        await client.post(path, json={})
        for path in ("/webhooks/standard", "/webhooks/acme/standard")
    ]
    assert (401, 404) == (on.status_code, off.status_code)


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/nobody/twilio",
        "/webhooks/default/twilio",
        "/webhooks/acme/nothing",
        "/webhooks/ACME/twilio",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_unknown_account_answers_as_an_unknown_source(
    client: httpx.AsyncClient, path: str, method: str
) -> None:
    """
    Nobody can tell from outside which accounts there are; the default one has no path but the short
    one.
    """
    unknown = await client.request(method, "/webhooks/nothing")
    result = await client.request(method, path)
    assert (404, unknown.content, unknown.headers) == (
        result.status_code,
        result.content,
        result.headers,
    )


async def test_links_are_apart_and_so_are_their_tokens(
    client: httpx.AsyncClient, stores: tuple[Store, Store]
) -> None:
    """An account's links lie below its own path, open to its own token alone."""
    path = f"/links/twilio/{CALL}"
    body = {"buildr_call_id": "110"}
    tokens = {"/accounts/acme": OTHER_ADMIN, "": ADMIN_TOKEN}
    for prefix, token in tokens.items():
        (wrong,) = set(tokens.values()) - {token}
        refused = await client.put(
            prefix + path, json=body, headers={"Authorization": f"Bearer {wrong}"}
        )
        assert 401 == refused.status_code
    set_ = await client.put(
        f"/accounts/acme{path}", json=body, headers={"Authorization": f"Bearer {OTHER_ADMIN}"}
    )
    other = await client.get(path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    nobody = await client.get(
        f"/accounts/nobody{path}", headers={"Authorization": f"Bearer {OTHER_ADMIN}"}
    )
    assert (201, 404, 404) == (set_.status_code, other.status_code, nobody.status_code)
    assert [False, True] == [await store.links.get("twilio", CALL) is not None for store in stores]


async def test_full_account_holds_up_nobody_else(
    client: httpx.AsyncClient, stores: tuple[Store, Store]
) -> None:
    """
    A flood for one account goes to the spool when its own limit is reached, while the other goes
    on.
    """
    calls = [f"CA{number:032}" for number in range(3)]
    acme = [
        (await send(client, "/webhooks/acme/twilio", token=OTHER_TOKEN, call=call)).status_code
        // 100
        for call in calls
    ]
    default = [
        (await send(client, "/webhooks/twilio", token=TWILIO_TOKEN, call=call)).status_code // 100
        for call in calls
    ]
    assert ([2, 2, 2], [2, 2, 2]) == (acme, default)
    assert [3, 1] == [(await store.messages.waiting())[0] for store in stores]
    assert 2 == (await client.get("/readyz")).json()["spool"]["messages"]


async def test_start_names_the_sources_of_each_account(installation: Installation) -> None:
    """The first line says what can come in where; no secret is in it."""
    app = create_app(installation)
    with capture_logs() as entries:
        async with app.router.lifespan_context(app):
            pass
    assert {"default": ["standard", "twilio"], "acme": ["twilio"]} == entries[0]["accounts"]
    assert ["standard", "twilio"] == entries[0]["sources"]
    assert "OTHER" not in str(entries)


async def test_default_account_that_is_inactive_takes_nothing(
    redis_url: str, tmp_path: Path, make_installation: MakeInstallation
) -> None:
    """
    With named accounts only, the short path is as unknown as any other, and the receiver is ready
    all the same.
    """
    (tmp_path / "buildr-calls.toml").write_text(TOML, encoding="utf-8")
    app = create_app(
        make_installation(
            REDIS_URL=redis_url, TWILIO_AUTH_TOKEN="", STANDARD_SECRET="", BUILDR_ACCESS_TOKEN=""
        )
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE) as client,
    ):
        assert 404 == (await send(client, "/webhooks/twilio", token=TWILIO_TOKEN)).status_code
        assert (await send(client, "/webhooks/acme/twilio", token=OTHER_TOKEN)).is_success
        assert 200 == (await client.get("/readyz")).status_code


@pytest.fixture
def run(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder whose TOML file knows acme."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "buildr-calls.toml").write_text(TOML, encoding="utf-8")
    ours = {
        "REDIS_URL": redis_url,
        "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
        "BUILDR_ACCESS_TOKEN": "t",
        "BUILDR_API_URL": "http://127.0.0.1:9",
    }

    def invoke(*arguments: str, code: int = 0, **more: str) -> Result:
        result = CliRunner().invoke(cli, list(arguments), env=ours | more)
        assert code == result.exit_code, result.output + str(result.exception)
        return result

    return invoke


def test_commands_are_for_the_account_that_is_named(run: Run) -> None:
    """What a command writes for one account, commands for the other do not see."""
    run("links", "set", "twilio", CALL, "110", "--account", "acme")
    assert CALL in run("links", "list", "--account", "acme").stdout
    assert CALL not in run("links", "list").stdout
    run("links", "get", "twilio", CALL, "--account", "default", code=1)


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("links", "list"),
        ("failed", "list"),
        ("check",),
        ("trigger", "twilio", "answered"),
    ],
)
def test_unknown_account_is_one_line(run: Run, command: tuple[str, ...]) -> None:
    """An account that is not there is wrong usage; the line lists those that there are."""
    result = run(*command, "--account", "nobody", code=2)
    assert (
        "buildr-calls: --account: there is no account nobody: there is default, acme\n",
        "",
    ) == (result.stderr, result.stdout)


def test_default_account_that_is_inactive_is_not_asked_by_mistake(run: Run) -> None:
    """
    Where only named accounts are set up, a command without --account says so; it does not answer
    that nothing is there.
    """
    result = run("failed", "list", code=2, TWILIO_AUTH_TOKEN="", BUILDR_ACCESS_TOKEN="")
    assert (
        "buildr-calls: the default account is not set up; choose one with --account: acme\n"
        == result.stderr
    )
    run("failed", "list", "--account", "default", TWILIO_AUTH_TOKEN="", BUILDR_ACCESS_TOKEN="")


def test_check_looks_at_every_account(run: Run, tmp_path: Path) -> None:
    """
    Without --account every account is looked at, each finding with its name; what all share is
    looked at once.
    """
    (tmp_path / "buildr-calls.toml").write_text(
        TOML.replace("buildr_access_token", "# "), encoding="utf-8"
    )
    findings = json.loads(run("check", "--json", code=1).stdout)
    assert {"default", "acme", None} == {finding["account"] for finding in findings}
    assert 1 == len([finding for finding in findings if finding["what"] == "redis"])
    (lacking,) = [
        finding
        for finding in findings
        if finding["what"] == "buildr" and finding["account"] == "acme"
    ]
    assert "webhooks would be taken that nobody can deliver" in lacking["detail"]
    assert "[accounts.acme]" in lacking["detail"]
    text = run("check", code=1).stdout
    assert "acme: buildr" in text
    assert "[accounts.acme]" in text
    alone = json.loads(run("check", "--json", "--account", "acme", code=1).stdout)
    assert {None} == {finding["account"] for finding in alone}
    assert 1 == len([finding for finding in alone if finding["what"] == "buildr"])


def test_request_that_names_an_account_stays_as_it_is(installation: Installation) -> None:
    """
    A request goes to the path of the account, unless its own path names one or is no webhook's.
    """
    moved = {
        "/webhooks/twilio?a=/webhooks/x": "/webhooks/acme/twilio?a=/webhooks/x",
        "/webhooks/beta/twilio": "/webhooks/beta/twilio",
        "/other": "/other",
    }
    for path, expected in moved.items():
        request = WebhookRequest(method="POST", url=f"{BASE}/prefix{path}")
        assert f"{BASE}/prefix{expected}" == to_receiver(request, installation.account("acme")).url
        assert request == to_receiver(request, installation.default)


@pytest.mark.parametrize(("token", "has_sandbox"), [("t", False), ("", True)])
def test_run_starts_no_sandbox_beside_a_real_account(
    tmp_path: Path, make_installation: MakeInstallation, token: str, has_sandbox: bool
) -> None:
    """As soon as any account reaches the real Buildr, `run` makes nothing up."""
    (tmp_path / "buildr-calls.toml").write_text("[accounts.acme]\n", encoding="utf-8")
    options = make_installation(BUILDR_ACCESS_TOKEN="", ACCOUNT__ACME__BUILDR_ACCESS_TOKEN=token)
    run = LocalRun(
        options,
        RunOptions(sandbox_port=8001, demo_call=None),
        Screen(console=Console(), least="info", is_raw=False),
    )
    assert has_sandbox == ("BUILDR_CLIENT_SECRET" in run._generated_settings())


@pytest.fixture
def system(redis_url: str, tmp_path: Path) -> Iterator[System]:
    """A receiver as a process, with a secret of the account acme in its environment."""
    (tmp_path / "buildr-calls.toml").write_text(
        '[accounts.acme]\nbuildr_access_token = "t"\n', encoding="utf-8"
    )
    extra = {
        "CONFIG": str(tmp_path / "buildr-calls.toml"),
        "ACCOUNT__ACME__TWILIO_AUTH_TOKEN": OTHER_TOKEN,
    }
    started = System(
        folder=tmp_path,
        redis_url=redis_url,
        twilio_token=TWILIO_TOKEN,
        standard_secret=STANDARD_SECRET,
        extra=extra,
    )
    started.start("receiver", "serve")
    wait_for(lambda: '"service.started"' in started.log("receiver"), goal="the receiver")
    yield started
    started.stop()


@pytest.mark.slow
def test_trigger_simulates_a_call_for_an_account(system: System) -> None:
    """
    `trigger --account` signs with the account's secret and posts to its path; the call waits there
    alone.
    """

    def command(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli.main", *arguments],
            env=system.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert code == done.returncode, done.stderr
        return done.stdout + done.stderr

    simulated = json.loads(command("trigger", "twilio", "answered", "--account", "acme", "--json"))
    assert {2} == {answer["status_code"] // 100 for answer in simulated["answers"]}
    assert f"see: buildr-calls explain {REF} --account acme" in command(
        "trigger", "twilio", "answered", "--set", f"call_id={CALL}", "--account", "acme"
    )
    with Redis.from_url(system.redis_url, decode_responses=True) as redis:
        assert {"acme"} == {
            key.split(":")[1] for key in redis.scan_iter("bc:*") if key.endswith(REF)
        }
    assert "standard has no secret to sign with: set standard_secret in [accounts.acme]" in command(
        "trigger", "standard", "answered", "--account", "acme", code=1
    )
