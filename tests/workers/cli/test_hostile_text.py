"""
Texts from outside that try to steer the terminal, through every command that prints stored text.
"""

import asyncio
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from service.clock import utc_now
from service.errors import FailureCause
from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Recording,
    to_json,
)
from service.logs.control_characters import escape_controls, escape_json
from service.settings import Settings
from service.store.call_update import CallUpdate
from service.store.connection import Store, open_store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import Answer, DeliveryState
from service.store.failed import Failed, to_text
from service.store.outcomes import StoredOutcomes
from service.store.subscriptions import UpkeepState
from tests.workers.cli.conftest import Run
from workers.cli import output
from workers.cli.main import cli

# Markup of rich, a window title, a C1 control sequence, an override of the direction, a hidden
# character, and one of more than 16 bits.
HOSTILE = "[/x][bold]\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\u200b\r\x00\U000e0041"
SOURCE_CALL_ID = "CA[/x]\x1b[2J\u202e1"
REF = f"twilio:{SOURCE_CALL_ID}"
UNMATCHED_REF = f"twilio:{SOURCE_CALL_ID}u"
ENTRY = REF
# Every command of the program is in one of these; a new one has to be added here.
COMMANDS = {
    "explain": ("explain", REF),
    "calls": ("calls",),
    "forget": ("forget", REF, "--dry-run"),
    "failed list": ("failed", "list"),
    "failed show": ("failed", "show", ENTRY),
    "failed discard": ("failed", "discard", "--all", "--dry-run"),
    "replay": ("replay", "--all", "--dry-run", "--offline"),
    "failed replay": ("failed", "replay", "--all", "--dry-run", "--offline"),
    "unmatched list": ("unmatched", "list"),
    "stalled list": ("stalled", "list"),
    "outcomes preview": ("outcomes", "preview"),
    "status": ("status",),
    "sources": ("sources",),
    "links list": ("links", "list"),
    "expected list": ("expected", "list"),
}
OTHERS = {
    "version",
    # Lines of one step, by the same functions; see test_tail.py.
    "tail",
    # Counts and names of sources.
    "alerts list",
    "alerts test",
    # Texts of their own, and what an operator has typed.
    "completion",
    "dial-token add",
    "dial-token list",
    "dial-token revoke",
    "init",
    "listen",
    "outcomes install",
    # Its output is the protocol's.
    "mcp",
    # Known names and networks only, by the same functions.
    "refused list",
    "run",
    "serve",
    "work",
    "sandbox",
    # Their own arguments, ids of Buildr (digits), telephone numbers and counts.
    "trigger",
    "links set",
    "links get",
    "links import",
    "links rm",
    "link-url",
    "expect call",
    "expect import",
    "expected rm",
    "phonebook show",
    "phonebook remove",
    "phonebook status",
    "phonebook import",
    "phonebook sync",
    "outcomes test",
    # What Buildr and vendors answer just now, by the same functions.
    "backfill",
    "reconcile",
    "outcomes list",
    "subscriptions list",
    "subscriptions ensure",
    "check",
}
# Colours and weights, which are rich's own on a terminal.
STYLES = re.compile(r"\x1b\[[0-9;]*m")


def _names(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            yield from _names(subcommand, (*path, name))
    else:
        yield " ".join(path)


def test_every_command_is_tried_here_or_named() -> None:
    """A command that is added cannot be forgotten."""
    assert set(_names(cli)) == set(COMMANDS) | OTHERS


def test_commands_print_by_the_functions_that_escape() -> None:
    """No module of a command writes to the terminal by itself, but for questions and bars."""
    folder = Path(output.__file__).parent
    texts = {path.name: path.read_text("utf-8") for path in folder.glob("*.py")}
    del texts["output.py"]
    for name, text in texts.items():
        match = re.search(
            r"click\.s?echo|\bprint\(|\bConsole\(|std(out|err)\.write|\.print\(", text
        )
        assert match is None, name


def _event(source_call_id: str) -> CallEvent:
    return CallEvent(
        source="twilio",
        message_id="m1",
        source_call_id=source_call_id,
        leg_id=HOSTILE,
        event_type=EventType.ENDED,
        occurred_at=datetime(2026, 11, 2, 10, tzinfo=UTC),
        hangup_cause=HangupCause.BUSY,
        direction=Direction.OUTBOUND,
        recording=Recording(url=f"https://vendor.example.test/{HOSTILE}"),
        agent=HOSTILE,
        disposition=HOSTILE,
        tags=(HOSTILE, "fine"),
        queue=HOSTILE,
        team=HOSTILE,
        vendor_status=HOSTILE,
    )


async def _seed(store: Store) -> None:
    for ref, state in ((REF, DeliveryState.DELIVERED), (UNMATCHED_REF, DeliveryState.UNMATCHED)):
        source_call_id = ref.partition(":")[2]
        record = DeliveryRecord(
            ref=ref,
            state=state,
            reason=HOSTILE,
            result="busy",
            outcome=HOSTILE,
            rule=HOSTILE,
            last_received_at=utc_now(),
            written={"call_outcome_id": "786", "notes": HOSTILE},
        ).with_history(utc_now(), "failed", HOSTILE)
        update = CallUpdate(
            record=record, version=0, events={"m1": to_json((_event(source_call_id),))}
        )
        assert await store.calls.commit(update)
    entry = Failed(
        entry_id=ENTRY,
        kind="call",
        source="twilio",
        source_call_id=SOURCE_CALL_ID,
        cause=FailureCause.BUILDR_REJECTED,
        detail=HOSTILE,
        failed_at=utc_now(),
        answers=(Answer(at=utc_now(), cause=HOSTILE, status_code=422, text=HOSTILE),),
    )
    redis = store.failed.redis
    keys = store.failed.keys
    await redis.set(keys.failed_entry(ENTRY), to_text(entry).encode())
    await redis.zadd(keys.named("failed"), {ENTRY: 1})
    names = ((HOSTILE, "786"), ("Busy", "790"))
    await store.outcomes.save(StoredOutcomes(names=names, read_at=utc_now()))
    upkeep_state = UpkeepState(checked_at=utc_now(), state="failed", detail=HOSTILE)
    await store.upkeep.save("ringcentral", upkeep_state)


@pytest.fixture
def hostile(redis_url: str, make_settings: Callable[..., Settings]) -> None:
    """Records whose every free text is hostile."""

    async def seed() -> None:
        async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
            await _seed(store)

    asyncio.run(seed())


def _steering(text: str) -> list[str]:
    return [
        f"U+{ord(character):04X}"
        for character in text
        if character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl")
    ]


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("name", COMMANDS)
def test_text_from_outside_is_printed_and_not_obeyed(run: Run, name: str) -> None:
    """On a terminal, in a pipe and as JSON: no command ends early, and nothing steers."""
    arguments = COMMANDS[name]
    assert [] == _steering(run(*arguments).output)
    # A bar on stderr moves its cursor, and holds no text of others.
    assert [] == _steering(STYLES.sub("", run(*arguments, FORCE_COLOR="1").stdout))
    result = run(*arguments, "--json")
    assert [] == _steering(result.output)
    json.loads(result.stdout)


@pytest.mark.usefixtures("hostile")
def test_hostile_text_is_shown_whole(run: Run) -> None:
    """What a tag holds can be read, markup and escapes included."""
    shown = run("explain", REF).stdout
    assert r"[/x][bold]\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe" in shown
    assert HOSTILE in json.loads(run("explain", REF, "--json").stdout)["call"]["agent"]


def test_escapes_leave_ordinary_text_of_all_scripts_alone() -> None:
    """Names and signs stay; joiners, which some scripts and emoji need, too."""
    text = "Zoë Ångström 名前 می\u200cروم 👩\u200d💻 «»\u00a0€"
    assert text == escape_controls(text) == escape_json(text)
    assert "a\tb\nc" == escape_controls("a\tb\nc", has_lines=True)
    assert r"a\x09b" == escape_controls("a\tb")


def test_json_with_escapes_means_the_same() -> None:
    """Programs read what was stored, characters beyond 16 bits and halves of such included."""
    text = HOSTILE + "\udc80"
    assert text == json.loads(escape_json(json.dumps(text, ensure_ascii=False)))
    assert r"\udc80" == escape_controls("\udc80")
