"""
subscriptions: where vendors send their webhooks, listed and corrected.
"""

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import load_installation
from service.store.connection import open_store
from service.webhook_urls import path_token
from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import Fault, listening
from tests.workers.cli.conftest import Run
from workers.cli.subscriptions import BUSY

URL_SECRET = "url-secret-of-the-tests-" + "1" * 20
PUBLIC = {"PUBLIC_URL": "https://hooks.example.test", "URL_SECRET": URL_SECRET}
RINGCENTRAL = {
    **PUBLIC,
    "RINGCENTRAL_VERIFICATION_TOKEN": "rc-verification-token-of-the-tests",
    "RINGCENTRAL_CLIENT_ID": "rc-client",
    "RINGCENTRAL_CLIENT_SECRET": "rc-client-secret",
    "RINGCENTRAL_JWT": "rc-jwt-of-the-tests",
}
AIRCALL = {**PUBLIC, "AIRCALL_API_ID": "aircall-api-id", "AIRCALL_API_TOKEN": "aircall-api-token"}
CONFIDENTIAL = (
    URL_SECRET,
    "rc-verification-token-of-the-tests",
    "rc-client-secret",
    "rc-jwt-of-the-tests",
    "aircall-api-token",
    path_token(URL_SECRET, "ringcentral"),
    path_token(URL_SECRET, "aircall"),
)


@pytest.fixture
def ringcentral() -> Iterator[tuple[RingCentral, dict[str, str]]]:
    """RingCentral, and the settings for it."""
    standin = RingCentral()
    with listening(standin) as url:
        yield standin, {**RINGCENTRAL, "RINGCENTRAL_API_URL": url}


@pytest.fixture
def aircall() -> Iterator[tuple[Aircall, dict[str, str]]]:
    """Aircall, and the settings for it."""
    standin = Aircall()
    with listening(standin) as url:
        yield standin, {**AIRCALL, "AIRCALL_API_URL": f"{url}/v1"}


def test_ensure_makes_one_and_list_shows_it(
    run: Run, ringcentral: tuple[RingCentral, dict[str, str]]
) -> None:
    """First announced, then done, then nothing to do; addresses without their tokens."""
    standin, names = ringcentral
    standin.add("foreign", "https://other.example.test/secret/path")
    text = run("subscriptions", "ensure", "--dry-run", **names)
    assert (
        "ringcentral: would be created: there is no subscription for calls at our address\n"
        == text.stdout
    )
    assert 1 == len(standin.stored)
    assert (
        "ringcentral: created: there is no subscription"
        in run("subscriptions", "ensure", "ringcentral", **names).stdout
    )
    assert "ringcentral: active, nothing to do\n" == run("subscriptions", "ensure", **names).stdout
    listed = run("subscriptions", "list", **names).stdout
    assert "https://hooks.example.test/webhooks/ringcentral" in listed
    assert "other.example.test" in listed
    assert "not ours, left alone" in listed
    assert "secret/path" not in listed
    assert [] == [item for item in CONFIDENTIAL if item in listed + text.output]


def test_json_tells_state_subscriptions_and_steps(
    run: Run, ringcentral: tuple[RingCentral, dict[str, str]]
) -> None:
    """For programs: what is there, and what would be or was done."""
    standin, names = ringcentral
    (would,) = json.loads(run("subscriptions", "ensure", "--dry-run", "--json", **names).stdout)
    assert ("missing", [], [("create", False)]) == (
        would["state"],
        would["subscriptions"],
        _steps(would),
    )
    (done,) = json.loads(run("subscriptions", "ensure", "--json", **names).stdout)
    assert ("active", [("create", True)]) == (done["state"], _steps(done))
    (listed,) = json.loads(run("subscriptions", "list", "ringcentral", "--json", **names).stdout)
    assert ([], [(True, "active")]) == (
        _steps(listed),
        [(item["is_ours"], item["state"]) for item in listed["subscriptions"]],
    )
    assert done["expires_at"] == listed["expires_at"]
    assert [*standin.stored] == [item["id"] for item in listed["subscriptions"]]


def _steps(report: dict[str, list[dict[str, object]]]) -> list[tuple[object, object]]:
    return [(item["action"], item["is_done"]) for item in report["steps"]]


@pytest.mark.parametrize(
    "command", [("list",), ("ensure",), ("ensure", "--json"), ("list", "--json")]
)
def test_vendor_that_fails_is_one_line_and_1(
    run: Run, ringcentral: tuple[RingCentral, dict[str, str]], command: tuple[str, ...]
) -> None:
    """Exit code 1, and the reason on stderr or in the JSON."""
    standin, names = ringcentral
    standin.faults = [Fault(status=500)]
    result = run("subscriptions", *command, code=1, **names)
    assert "RingCentral answered 500" in (result.stdout if "--json" in command else result.stderr)
    assert "Traceback" not in result.output


def test_settings_that_are_missing_are_named(run: Run) -> None:
    """
    A source that is not set up says in one sentence what to set, or to do by hand; without any
    there is nothing to look after.
    """
    assert "set ZOOM" not in run("subscriptions", "list").stderr
    assert (
        "no source whose subscriptions can be looked after" in run("subscriptions", "ensure").stderr
    )
    result = run("subscriptions", "ensure", "ringcentral", code=1)
    assert (
        "set RINGCENTRAL_CLIENT_ID and RINGCENTRAL_CLIENT_SECRET and RINGCENTRAL_JWT"
        in result.stderr
    )
    half = {name: RINGCENTRAL[name] for name in ("URL_SECRET", "RINGCENTRAL_VERIFICATION_TOKEN")}
    assert (
        "without, set it up as docs/telephony/ringcentral.md shows"
        in run("subscriptions", "list", **half).stderr
    )
    result = run(
        "subscriptions",
        "ensure",
        code=1,
        **{**RINGCENTRAL, "PUBLIC_URL": "http://hooks.example.test"},
    )
    assert "set PUBLIC_URL to the https address of the receiver" in result.stderr
    run("subscriptions", "list", "twilio", code=2)


def test_token_goes_to_a_file_of_its_owner_and_nowhere_else(
    run: Run, aircall: tuple[Aircall, dict[str, str]], tmp_path: Path
) -> None:
    """
    Aircall's new token is written to a new file, mode 600; a file that is there is not written
    over, and no webhook is made then.
    """
    standin, names = aircall
    left = run("subscriptions", "ensure", "aircall", code=1, **names)
    assert "to be done by hand" in left.stdout
    assert {} == standin.stored
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    assert (
        "is there already"
        in run("subscriptions", "ensure", "aircall", "--token-to", "taken", code=1, **names).stderr
    )
    assert ("mine", {}) == ((tmp_path / "taken").read_text(encoding="utf-8"), standin.stored)
    run("subscriptions", "ensure", "aircall", "--token-to", "dry", "--dry-run", **names)
    assert not (tmp_path / "dry").exists()
    result = run("subscriptions", "ensure", "aircall", "--token-to", "token", **names)
    (stored,) = standin.stored.values()
    path = tmp_path / "token"
    assert (f"{stored['token']}\n", 0o600) == (
        path.read_text(encoding="utf-8"),
        stat.S_IMODE(path.stat().st_mode),
    )
    assert str(stored["token"]) not in result.output
    assert "AIRCALL_TOKEN_FILE" in result.stderr
    done = run(
        "subscriptions",
        "ensure",
        "aircall",
        "--token-to",
        "unused",
        **names,
        AIRCALL_TOKEN=str(stored["token"]),
    )
    assert ("aircall: active, nothing to do\n", False) == (
        done.stdout,
        (tmp_path / "unused").exists(),
    )


def test_failed_making_leaves_no_file(
    run: Run, aircall: tuple[Aircall, dict[str, str]], tmp_path: Path
) -> None:
    """An empty file would be taken for a token."""
    standin, names = aircall
    standin.faults = [Fault(match="POST", status=500)]
    run("subscriptions", "ensure", "aircall", "--token-to", "token", code=1, **names)
    assert not (tmp_path / "token").exists()
    run("subscriptions", "ensure", "--token-to", "token", code=2, **names)


def test_busy_source_is_named(
    run: Run, ringcentral: tuple[RingCentral, dict[str, str]], redis_url: str, tmp_path: Path
) -> None:
    """While a worker is at it, a command does not interfere, but may look."""
    _, names = ringcentral

    async def hold() -> None:
        async with open_store(
            load_installation({"REDIS_URL": redis_url}, cwd=tmp_path).default, role="cli"
        ) as store:
            assert await store.upkeep.lock("ringcentral", ttl_s=60)

    asyncio.run(hold())
    assert BUSY in run("subscriptions", "ensure", "ringcentral", code=1, **names).stderr
    run("subscriptions", "ensure", "--dry-run", **names)
