"""
Files and bodies that the pages show can be read: settings, JSON, XML, YAML. What has a test of its
own page (docs/outcomes.md, docs/cookbook.md, docs/telephony/standard.md) is there.
"""

import json
import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import httpx
import pytest
import yaml
from click.testing import CliRunner
from msgspec import Struct

from service.settings import load_installation, names
from service.sources import SOURCES
from tests.repository.docs_commands.data import write_files
from tests.repository.docs_commands.lines import shown_lines, shown_pages
from tests.repository.docs_commands.shell import curl_request
from tests.repository.docs_commands.system import HOST, shown_system
from tests.repository.site import ROOT
from workers.cli.main import cli
from workers.cli.program import PROGRAM
from workers.subscriptions import aircall, dialpad, ringcentral

FENCED: Final = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
WEBHOOK: Final = re.compile(rf"{re.escape(HOST)}/webhooks/(\w+)")
SECRET_FILE: Final = re.compile(r"/run/secrets/([\w-]+)")
OWN_TESTS: Final = frozenset(
    {"docs/outcomes.md", "docs/cookbook.md", "docs/telephony/standard.md", "CONTRIBUTING.md"}
)
READERS: Final = {"json": json.loads, "xml": ET.fromstring, "yaml": yaml.safe_load}
# What the mounted files of the examples hold, by a part of their names.
SECRETS: Final = {
    "redis": "redis://user:password@redis-2:6379/0",
    "slack": "https://hooks.slack.com/services/T000/B000/fake",
    "smtp": "smtp://user:password@mail.example.com:587",
}


class Example(Struct, frozen=True, kw_only=True):
    """A block of a page."""

    page: str
    language: str
    text: str


EXAMPLES: Final = [
    Example(page=page, language=language, text=text)
    for page in shown_pages()
    if page not in OWN_TESTS
    for language, text in FENCED.findall((ROOT / page).read_text(encoding="utf-8"))
]


def of_language(*languages: str) -> list[Example]:
    """The examples in these languages."""
    return [example for example in EXAMPLES if example.language in languages]


def only_json(page: str) -> str:
    """The text of the one JSON block of a page."""
    (example,) = [example for example in of_language("json") if example.page == page]
    return example.text


@pytest.mark.parametrize("example", of_language("toml"), ids=lambda example: example.page)
def test_settings_are_read(example: Example, tmp_path: Path) -> None:
    """The service starts with each; the files that it names are there."""
    for name in SECRET_FILE.findall(example.text):
        fitting = [value for part, value in SECRETS.items() if part in name]
        (tmp_path / name).write_text((fitting or ["0123456789abcdef" * 2])[0], encoding="utf-8")
    text = example.text.replace("/run/secrets", str(tmp_path))
    (tmp_path / "buildr-calls.toml").write_text(text, encoding="utf-8")
    load_installation({}, cwd=tmp_path)


@pytest.mark.parametrize("example", of_language(*READERS), ids=lambda example: example.page)
def test_bodies_are_well_formed(example: Example) -> None:
    """And the addresses in them are those of sources."""
    READERS[example.language](example.text)
    assert set(WEBHOOK.findall(example.text)) <= set(SOURCES)


def test_every_language_is_known() -> None:
    """A block in another one is read by no test."""
    assert {example.language for example in EXAMPLES} <= {*READERS, "toml", "sh", "text", "python"}


@pytest.mark.parametrize(
    ("page", "path", "shown"),
    [
        ("aircall", "/v1/webhooks", {"events": sorted(aircall.EVENTS)}),
        ("dialpad", "/subscriptions/call", {"call_states": sorted(dialpad.STATES)}),
        (
            "ringcentral",
            "/subscription",
            {
                "eventFilters": [ringcentral.EVERY_CALL],
                "expiresIn": int(ringcentral.LIFE.total_seconds()),
            },
        ),
    ],
)
def test_subscription_by_hand_is_that_of_the_command(
    page: str, path: str, shown: dict[str, object], tmp_path: Path
) -> None:
    """Who makes it with curl gets the same events as with `subscriptions ensure`."""
    variables = dict.fromkeys(names(), "a-setting")
    lines = [
        line.text
        for line in shown_lines(f"docs/telephony/{page}.md")
        if line.words[0] == "curl" and line.words[1].endswith(path)
    ]
    (request,) = [curl_request([line], variables, tmp_path) for line in lines]
    body = request.json()
    assert isinstance(body, dict)
    values = {name: body[name] for name in shown}
    assert shown == {
        name: sorted(value) if isinstance(value, list) else value for name, value in values.items()
    }


def test_request_file_is_one(tmp_path: Path) -> None:
    """The one of docs/cli.md."""
    path = tmp_path / "request.json"
    path.write_text(only_json("docs/cli.md"), encoding="utf-8")
    result = CliRunner().invoke(cli, ["explain", str(path), "--source", "twilio"])
    assert result.exit_code == 0, result.output
    assert "Buildr call  110" in result.output


def test_error_is_what_the_receiver_answers(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of docs/http-api.md: an id that is no string."""
    monkeypatch.chdir(tmp_path)
    write_files(PROGRAM, tmp_path)
    with shown_system(tmp_path, redis_url, {}) as system:
        answer = httpx.post(
            f"{system.url}/expected-calls",
            json={"buildr_call_id": 110, "numbers": ["+15005550006"]},
            headers={"Authorization": f"Bearer {system.variables['ADMIN_TOKEN']}"},
        )
    assert json.loads(only_json("docs/http-api.md")) == answer.json()
