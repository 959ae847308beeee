"""
What commands print about restored records: as JSON, without what depends on the time of day.

Sentences that a command makes up when it is run, such as why a call was matched, are left out too:
they belong to the code, not to the stored forms.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from click.testing import CliRunner

from tests.service.store.snapshot import FOLDER
from workers.cli.main import cli

Facts = dict[str, Any]

CALL: Final = "twilio:CA000000000000000000000000000000"
AGES: Final = ("oldest_message_age_s", "clears_at", "blocked_by_buildr_s", "requests_used")
FROM_REDIS: Final = (
    "source",
    "last_message_at",
    "last_handshake_at",
    "silent_since",
    "subscription",
)
VERDICT: Final = ("id", "call", "buildr_call_id", "outcome_now", "outcome_then", "requests")
# The last two digits of the calls that are explained: one in each state, and other odd ones.
EXPLAINED: Final = "01 02 03 04 05 07 08 10 11 13 14 15 17 18 19 21 22 24 25 26 28 29 30 32"

# Of the others the events and the call are left out: there would be much of them, and little new.
SHOWN_IN_FULL: Final = f"{CALL}15"

# Pairs of account and command; each is run with --json.
COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    ("default", "status"),
    ("outage", "status"),
    ("limited", "status"),
    ("default", "failed list"),
    ("default", "failed list --source twilio --cause buildr_rejected"),
    ("default", "failed list --call 120 --until 2026-11-03"),
    ("default", f"failed show {CALL}18"),
    ("default", "failed show m000000000000000000000001"),
    ("default", "failed replay --all --dry-run --offline"),
    ("default", "replay --all --dry-run --offline"),
    ("default", "replay --state hand_edited --dry-run --force"),
    ("default", "unmatched list"),
    ("default", "stalled list"),
    ("default", "expected list"),
    ("default", "links list"),
    ("default", "links list --source twilio"),
    ("default", f"links get twilio {CALL.removeprefix('twilio:')}16"),
    ("default", "sources"),
    ("default", f"outcomes preview --config {FOLDER.name}/changed.toml"),
    *(("default", f"explain {CALL}{digits}") for digits in EXPLAINED.split()),
    # Of this one there are only messages that no worker has read.
    ("default", f"explain {CALL.removeprefix('twilio:')}27"),
    ("default", "explain standard:c-40"),
    ("limited", f"explain {CALL}71"),
    ("outage", f"explain {CALL}63"),
)


def print_of(account: str, command: str, environment: Mapping[str, str]) -> Facts:
    """What a command prints, and how it ends."""
    arguments = [
        str(FOLDER.parent / part) if part.startswith(FOLDER.name) else part
        for part in command.split()
    ]
    env = {**environment, "ACCOUNT": account}
    result = CliRunner().invoke(cli, [*arguments, "--json"], env=env)
    assert result.stdout[:1] in ("{", "["), f"{command}: {result.output}{result.exception}"
    lasting = LASTING.get(command.split(maxsplit=1)[0], _unchanged)
    if command.startswith("failed replay"):
        lasting = _lasting_verdicts
    return {"exit_code": result.exit_code, "printed": lasting(json.loads(result.stdout))}


def _unchanged(printed: Any) -> Any:
    return printed


def _lasting_status(printed: Facts) -> Facts:
    lasting = {name: value for name, value in printed.items() if name not in AGES}
    lasting["lanes"] = {lane: load["calls"] for lane, load in printed["lanes"].items()}
    return lasting


def _lasting_explanation(printed: Facts) -> Facts:
    printed = {name: value for name, value in printed.items() if name not in ("account", "summary")}
    if "match" not in printed:
        return printed
    match = printed["match"]
    considered = [other["buildr_call_id"] for other in match["considered"]]
    in_full = {"events": sorted(printed["events"], key=json.dumps), "call": printed["call"]}
    return {
        **{name: value for name, value in printed.items() if name not in {*in_full, "caller"}},
        **(in_full if printed["ref"] == SHOWN_IN_FULL else {}),
        "match": {
            "buildr_call_id": match["buildr_call_id"],
            "how": match["how"],
            "considered": considered,
        },
    }


def _lasting_calls(printed: list[Facts]) -> list[Facts]:
    lasting = ("call", "first_received_at", "result", "reason")
    return [{name: call[name] for name in lasting} for call in printed]


def _lasting_sources(printed: list[Facts]) -> list[Facts]:
    return [{name: source[name] for name in FROM_REDIS} for source in printed]


def _lasting_verdicts(printed: Facts) -> Facts:
    return {
        "is_dry_run": printed["is_dry_run"],
        "verdicts": [{name: verdict[name] for name in VERDICT} for verdict in printed["verdicts"]],
        "requests": printed["requests"],
    }


def _lasting_preview(printed: Facts) -> Facts:
    lasting = ("is_applied", "looked_at", "changes", "counts", "requests")
    return {name: printed[name] for name in lasting}


LASTING: Final[Mapping[str, Callable[[Any], Any]]] = {
    "status": _lasting_status,
    "explain": _lasting_explanation,
    "sources": _lasting_sources,
    "unmatched": _lasting_calls,
    "stalled": _lasting_calls,
    "replay": _lasting_verdicts,
    "outcomes": _lasting_preview,
}
