"""
The outcome map as a table, and a changed one tried on calls that are known.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.clock import utc_now
from service.errors import SettingsError
from service.events import Result
from service.settings.outcomes import OutcomeConfig
from service.settings.reading import TomlFile
from service.store.call_listing import CallQuery
from workers.console.parts import Visit
from workers.outcomes.decide import outcome_key, unknown_names
from workers.outcomes.map_file import InstalledMap, NotInstalled, install
from workers.outcomes.map_text import (
    DEFAULT,
    LEFT_ALONE,
    MAP_TABLES,
    choice_of,
    conditions_text,
    default_of,
    map_text,
    place_of,
    read_map,
    rules_text,
)
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import ReplayCandidate, call_candidates
from workers.replay.outcome_preview import Comparison, OutcomeChange, Preview

# As many as are read, folded and compared within the time of a page, beside webhooks.
MAX_CALLS: Final = 2000
CALLS_AT_A_TIME: Final = 200
COMPARE_FOR_S: Final = 4.0
SHOWN_CHANGES: Final = 100
BUSY: Final = "Another preview is being made. Try again in some seconds."
NOBODY: Final = "no agent"
NEVER_READ: Final = "The account's outcomes were never read from Buildr. Start a worker."


class ResultRow(Struct, frozen=True):
    """A result, what it becomes now and what is chosen in the form."""

    result: str
    present: str
    chosen: str
    default: str
    is_known: bool


class Trial(Struct, frozen=True, kw_only=True):
    """What a changed map would change: the comparison, and its counts for tables."""

    preview: Preview
    pairs: list[tuple[tuple[str, str, str], int]]
    agents: list[tuple[tuple[str, str, str], int]]
    shown: list[OutcomeChange]
    text: str


async def show(visit: Visit) -> Response:
    """`GET rules`: the map in place."""
    present = visit.settings.outcome_config
    context = await ReplayContext.of(visit.settings, visit.store)
    return _page(visit, context, present, rules=rules_text(present.rules))


async def preview(visit: Visit) -> Response:
    """`POST rules/preview`: the map of the form, tried on the newest calls; nothing is written."""
    present = visit.settings.outcome_config
    context = await ReplayContext.of(visit.settings, visit.store)
    rules, choices = _sent(visit)
    try:
        config = read_map(present, choices, rules)
        _check_names(config, context)
    except SettingsError as err:
        return _page(visit, context, present, rules=rules, chosen=choices, faults=err.faults)
    if visit.parts.preview_room.locked():
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, BUSY, headers={"Retry-After": "5"})
    async with visit.parts.preview_room:
        comparison = Comparison(present=context, config=config)
        result = await comparison.run(_newest_calls(visit, context), now=utc_now())
    await visit.audit("preview rules", detail=f"{len(result.changes)} of {result.looked_at} change")
    trial = _trial(result, config, place_of(visit.settings))
    return _page(visit, context, present, rules=rules, chosen=choices, trial=trial)


async def install_map(visit: Visit) -> Response:
    """`POST rules/install`: write the map of the form into the file, and keep a copy of it."""
    visit.check_operator()
    present = visit.settings.outcome_config
    context = await ReplayContext.of(visit.settings, visit.store)
    rules, choices = _sent(visit)
    place = place_of(visit.settings)
    try:
        config = read_map(present, choices, rules)
        _check_names(config, context)
        file = _file_of(visit)
        # Beside the event loop: the disk may be slow.
        installed = await asyncio.to_thread(
            install,
            file,
            map_text(config, place),
            names=MAP_TABLES,
            at=utc_now(),
            place=place,
        )
    except SettingsError as err:
        return _page(visit, context, present, rules=rules, chosen=choices, faults=err.faults)
    except NotInstalled as err:
        faults = (f"Not installed: {err}.", "Copy the map below into the file.")
        text = map_text(config, place)
        return _page(visit, context, present, rules=rules, chosen=choices, faults=faults, text=text)
    detail = f"{installed.path.name}; before: {installed.backup and installed.backup.name}"
    await visit.audit("install rules", detail=detail)
    return _page(visit, context, present, rules=rules, chosen=choices, installed=installed)


def _file_of(visit: Visit) -> TomlFile:
    """The file of settings. Raises `NotInstalled` if there is none."""
    if visit.parts.toml_file is None:
        raise NotInstalled("this process was started without a file of settings")
    return visit.parts.toml_file


def _sent(visit: Visit) -> tuple[str, dict[Result, str]]:
    """The rules and choices of the form."""
    rules = "\n".join(visit.field("rules").splitlines())
    choices = {
        result: visit.form.get(f"outcome_{result.value}", [DEFAULT])[0].replace("\r\n", "\n")
        for result in Result
    }
    return rules, choices


def _check_names(config: OutcomeConfig, context: ReplayContext) -> None:
    """Raises `SettingsError` if the account does not have every outcome of a map."""
    if context.outcome_ids is None:
        raise SettingsError((NEVER_READ,))
    names = context.names.values()
    faults = unknown_names(config, context.outcome_ids, display_names=names)
    if faults:
        raise SettingsError(faults)


async def _newest_calls(visit: Visit, context: ReplayContext) -> AsyncIterator[ReplayCandidate]:
    """The newest calls, until there are enough or the time is over."""
    ends_at = time.monotonic() + COMPARE_FOR_S
    after: str | None = None
    count = 0
    while count < MAX_CALLS and time.monotonic() < ends_at:
        page = await visit.store.listing.page(CallQuery(), limit=CALLS_AT_A_TIME, after=after)
        refs = [call.ref for call in page.calls]
        async for candidate in call_candidates(visit.store, refs, context.rules):
            count += 1
            yield candidate
            if time.monotonic() >= ends_at:
                return
        after = page.after
        if after is None:
            return


def _trial(result: Preview, config: OutcomeConfig, place: Sequence[str]) -> Trial:
    pairs = Counter(
        (change.now or "left alone", change.then or "left alone", change.kind.value)
        for change in result.changes
    )
    agents = Counter(
        (change.agent or NOBODY, change.now or "left alone", change.then or "left alone")
        for change in result.changes
    )
    return Trial(
        preview=result,
        pairs=pairs.most_common(),
        agents=agents.most_common(SHOWN_CHANGES),
        shown=result.changes[:SHOWN_CHANGES],
        text=map_text(config, place),
    )


def _page(
    visit: Visit,
    context: ReplayContext,
    present: OutcomeConfig,
    *,
    rules: str,
    chosen: dict[Result, str] | None = None,
    faults: tuple[str, ...] = (),
    trial: Trial | None = None,
    installed: InstalledMap | None = None,
    text: str = "",
) -> Response:
    names = sorted(context.names.values(), key=str.casefold)
    rows = [_row_of(result, present, context, chosen or {}) for result in Result]
    # An outcome that the account does not have any more can be kept, and shows as a fault.
    others = {row.present for row in rows} - {*names, DEFAULT, LEFT_ALONE}
    return visit.page(
        "rules",
        "Rules",
        rows=rows,
        names=[*names, *sorted(others)],
        present_rules=[
            (rule.title(index), conditions_text(rule), str(rule.outcome or "left alone"))
            for index, rule in enumerate(present.rules)
        ],
        rules=rules,
        faults=faults,
        trial=trial,
        installed=installed,
        text=text,
        choices={result.value: choice for result, choice in (chosen or {}).items()},
        toml_file=visit.parts.toml_file,
        default_choice=DEFAULT,
        left_alone=LEFT_ALONE,
        was_read=context.outcome_ids is not None,
    )


def _row_of(
    result: Result, present: OutcomeConfig, context: ReplayContext, chosen: dict[Result, str]
) -> ResultRow:
    choice = choice_of(present, result)
    name = choice
    if choice == DEFAULT:
        name = default_of(result)
    ids = context.outcome_ids or {}
    is_known = choice == LEFT_ALONE or name == "left alone" or outcome_key(name) in ids
    return ResultRow(
        result=result.value,
        present=choice,
        chosen=chosen.get(result, choice),
        default=default_of(result),
        is_known=is_known or name.isdecimal(),
    )
