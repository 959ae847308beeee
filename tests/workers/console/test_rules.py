"""
The outcome map in the console, and a changed one tried on calls that are known.
"""

from collections.abc import Callable
from html import unescape
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from service.errors import SettingsError
from service.events import Result
from service.receiver.side_port import side_app
from service.settings import Installation, Settings
from service.settings.outcomes import OutcomeConfig
from tests.workers.console.harness import (
    DELIVERED,
    OPERATOR,
    READER,
    Browser,
    open_browser,
    text_of,
)
from workers.console.app import Console
from workers.outcomes.map_text import (
    DEFAULT,
    LEFT_ALONE,
    choice_of,
    map_text,
    read_map,
    rules_text,
)

MAP = """
[outcomes]
busy = "No Answer"
rejected = 786
failed = false

[[rules]]
name = "Machines"
when = { result = ["connected", "busy"], agent = ["Ana \\"A\\" Lee"], talk_below_s = 20 }
outcome = "No Answer"

[[rules]]
when = { transferred = true, to_number = ["+1500555*"] }
outcome = false
"""


def _choices(config: OutcomeConfig) -> dict[Result, str]:
    return {result: choice_of(config, result) for result in Result}


def test_a_map_is_read_as_it_is_written(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """The form holds the map in place, and sends the same one back; so does the file."""
    (tmp_path / "buildr-calls.toml").write_text(MAP, encoding="utf-8")
    present = make_settings().outcome_config
    rules = rules_text(present.rules)
    assert read_map(present, _choices(present), rules) == present
    (tmp_path / "buildr-calls.toml").write_text(map_text(present), encoding="utf-8")
    assert make_settings().outcome_config == present


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ("[[rules]", "The rules are not TOML"),
        ("[outcomes]\nbusy = 'x'", "outcomes: only [[rules]] can be tried here"),
        ("[[rules]]\nwhen = { agnt = 'Ana' }\noutcome = 'x'", "rules.0.when.agnt"),
        ("[[rules]]\nwhen = { business_hours = true }\noutcome = 'x'", "no [business_hours]"),
        ("rules = 3", "rules:"),
    ],
)
def test_rules_that_are_none_are_refused(rules: str, fault: str) -> None:
    """Each fault is named with its place."""
    present = OutcomeConfig()
    with pytest.raises(SettingsError) as caught:
        read_map(present, _choices(present), rules)
    assert fault in "; ".join(caught.value.faults)


def test_choices_of_the_form_become_a_map() -> None:
    """The default is left out, and no outcome is one too."""
    config = OutcomeConfig()
    choices = {**_choices(config), Result.BUSY: "No Answer", Result.CONNECTED: LEFT_ALONE}
    assert map_text(read_map(config, choices, "")) == (
        '[outcomes]\nconnected = false\nbusy = "No Answer"'
    )
    assert choice_of(config, Result.BUSY) == DEFAULT


@pytest.mark.usefixtures("system")
async def test_a_changed_map_shows_what_would_change(operator: Browser) -> None:
    """By outcome, by agent and call by call; nothing is written."""
    page = await operator.get("/default/rules")
    assert "default: Connected" in page
    response = await operator.send(
        "/default/rules/preview",
        {"outcome_connected": "No Answer", "outcome_busy": "\r\nleft alone", "rules": ""},
    )
    text = text_of(response.text)
    assert "Nothing was written." in text
    assert "Connected No Answer 1 rewritten" in text
    assert f"{DELIVERED} " in text
    assert 'connected = "No Answer"' in text
    assert "preview rules" in await operator.get("/default/actions")


@pytest.mark.usefixtures("system")
async def test_a_rule_is_tried_by_a_reader_too(reader: Browser) -> None:
    """It changes nothing, so that looking is enough for it."""
    await reader.get("/default/rules")
    rule = "[[rules]]\nwhen = { talk_at_least_s = 30 }\noutcome = 'No Answer'"
    response = await reader.send("/default/rules/preview", {"rules": rule})
    assert "rules[0]" in text_of(response.text)


@pytest.mark.usefixtures("system")
async def test_outcomes_that_the_account_does_not_have_are_faults(operator: Browser) -> None:
    """With the names that it has."""
    await operator.get("/default/rules")
    response = await operator.send(
        "/default/rules/preview", {"outcome_busy": "Bussy", "rules": "\n"}
    )
    assert "This map cannot be used." in response.text
    assert "the account has no call outcome" in response.text


async def test_outcomes_that_were_never_read_are_reported(operator: Browser) -> None:
    """Without them nothing can be compared."""
    await operator.get("/default/rules")
    response = await operator.send("/default/rules/preview", {"rules": ""})
    assert "never read from Buildr" in response.text


@pytest.mark.usefixtures("system")
async def test_a_map_is_installed_with_a_copy_of_the_file(
    make_installation: Callable[..., Installation], redis_url: str, tmp_path: Path
) -> None:
    """Where it is read from, and once: the page shows what was in place at the start."""
    path = tmp_path / "buildr-calls.toml"
    path.write_text('port = 8001\n\n[outcomes]\nbusy = "Busy"\n', encoding="utf-8")
    installation = make_installation(
        REDIS_URL=redis_url, CONSOLE_TOKEN=OPERATOR, CONSOLE_READ_TOKEN=READER
    )
    fields = {"outcome_busy": "No Answer", "rules": ""}
    async with open_browser(installation) as browser:
        await browser.log_in(OPERATOR)
        response = await browser.send("/default/rules/preview", fields)
        assert "Install this map" in response.text
        response = await browser.send("/default/rules/install", fields)
        assert "holds the new map" in response.text
        assert "install rules" in await browser.get("/default/actions")
        await browser.get("/default/rules")
        response = await browser.send("/default/rules/install", fields)
        assert "was changed since this process started" in response.text
        assert 'busy = "No Answer"' in unescape(response.text)
        await browser.send("/default/logout", {})
        await browser.log_in(READER)
        response = await browser.send("/default/rules/install", fields)
        assert response.status_code == HTTPStatus.FORBIDDEN
    assert path.read_text(encoding="utf-8") == 'port = 8001\n\n[outcomes]\nbusy = "No Answer"\n'
    assert 'busy = "Busy"' in _text_of_backup(tmp_path)


def _text_of_backup(folder: Path) -> str:
    (backup,) = folder.glob("*.bak")
    return backup.read_text(encoding="utf-8")


@pytest.mark.usefixtures("system")
async def test_a_map_that_cannot_be_used_is_not_installed(operator: Browser) -> None:
    """Its faults are shown, as by a preview."""
    await operator.get("/default/rules")
    response = await operator.send("/default/rules/install", {"outcome_busy": "x", "rules": ""})
    assert "This map cannot be used." in response.text


@pytest.mark.usefixtures("system")
async def test_one_preview_is_made_at_a_time(
    make_installation: Callable[..., Installation], redis_url: str
) -> None:
    """It takes processor time that webhooks need."""
    console = Console.of(make_installation(REDIS_URL=redis_url, CONSOLE_TOKEN=OPERATOR))
    transport = httpx.ASGITransport(side_app(console.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="https://a.test") as client:
        browser = Browser(client)
        await browser.log_in(OPERATOR)
        async with console.parts.preview_room:
            response = await browser.send("/default/rules/preview", {"rules": ""})
        assert HTTPStatus.SERVICE_UNAVAILABLE == response.status_code
        response = await browser.send("/default/rules/preview", {"rules": ""})
        assert "What would change" in response.text
    await console.close()
