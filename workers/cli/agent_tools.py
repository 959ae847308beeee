"""
What an agent may ask and do by `buildr-calls mcp`: the queries of the commands, as plain JSON
values.

Every function ends with click's errors, whose text is for the agent, or those of Redis.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import click
from msgspec import Struct

from service.clock import utc_now
from service.errors import FailureCause, SettingsError
from service.events import Result
from service.logs.control_characters import escape_controls
from service.logs.phone_masking import mask_numbers
from service.settings import Installation, Settings
from service.sources import SOURCES
from service.store.call_listing import UNREAD, CallQuery
from service.store.connection import open_store
from service.store.delivery_state import DeliveryState
from service.store.failed import FailedFilter
from service.store.failed import as_dict as failed_as_dict
from workers.cli.arguments import OneOf
from workers.cli.call_table import as_dict as call_row
from workers.cli.calls import page_of, with_number, with_text
from workers.cli.explain_call import call_as_dict, find_in, nothing_known
from workers.cli.failure import Failure
from workers.cli.replay import find_refs
from workers.cli.replay_report import ReplayOptions, report_as_dict, run_replay
from workers.cli.session import Age
from workers.delivery.intake_status import read_sources
from workers.delivery.status import read_account_status
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import (
    ReplayCandidate,
    call_candidates,
    failed_candidates,
)
from workers.replay.failed_entries import select_failed

Answer = dict[str, object]
MOST_CALLS: Final = 100
# Ids: an agent has to name the same call again, and some look like telephone numbers.
ID_KEYS: Final = frozenset(
    {
        "after",
        "buildr_call_id",
        "call",
        "call_outcome_id",
        "entry_id",
        "id",
        "leg_id",
        "message_id",
        "message_ids",
        "parent_leg_id",
        "ref",
        "source_call_id",
    }
)
CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "source": sorted(SOURCES),
    "result": [result.value for result in Result],
    "state": [*(state.value for state in DeliveryState), UNREAD],
    "cause": [cause.value for cause in FailureCause],
}


class AgentTools(Struct, frozen=True, kw_only=True):
    """
    The questions over the accounts of an installation. With `shows_numbers` telephone numbers are
    whole.
    """

    installation: Installation
    shows_numbers: bool = False

    async def search_calls(
        self, filters: Mapping[str, str | None], *, limit: int, account: str | None
    ) -> Answer:
        """A page of calls, the newest first; the names of `filters` are those of `calls`."""
        settings = self._settings(account)
        text = filters.get("text")
        query = CallQuery(
            agent=filters.get("agent"),
            buildr_call_id=filters.get("buildr_call_id"),
            source=_choice("source", filters.get("source")),
            result=_choice("result", filters.get("result")),
            outcome=filters.get("outcome"),
            state=_choice("state", filters.get("state")),
            since=_moment(filters.get("since")),
            until=_moment(filters.get("until")),
        )
        query = with_number(query, filters.get("number"), region=settings.default_region)
        query = with_text(query, text, region=settings.default_region)
        async with open_store(settings, role="cli") as store:
            await store.ping()
            try:
                page = await page_of(
                    store, query, text, limit=_within(limit), after=filters.get("after")
                )
            except ValueError as err:
                raise Failure(f"after: {err}") from err
        calls = [call_row(call) for call in page.calls]
        return self._answer({"account": settings.account, "calls": calls, "after": page.after})

    async def explain_call(self, call: str, *, account: str | None) -> Answer:
        """One call with all that was decided, found in any account unless one is named."""
        accounts = self.installation.accounts or (self.installation.default,)
        if account is not None:
            accounts = (self._settings(account),)
        searches = [await find_in(settings, call) for settings in accounts]
        matches = [match for search in searches for match in search.calls]
        if not matches:
            raise Failure(nothing_known(call, accounts, searches))
        # The agent chooses, and asks again: which one is meant is not guessed.
        if len(matches) > 1:
            rows = [call_row(match.listed) for match in matches]
            return self._answer({"which_one": rows})
        return self._answer(call_as_dict(matches[0]))

    async def list_failed(
        self, filters: Mapping[str, str | None], *, limit: int, account: str | None
    ) -> Answer:
        """What was given up on, the oldest first."""
        settings = self._settings(account)
        entry_filter = FailedFilter(
            source=_choice("source", filters.get("source")),
            cause=_choice("cause", filters.get("cause")),
            since=_moment(filters.get("since")),
            until=_moment(filters.get("until")),
        )
        async with open_store(settings, role="cli") as store:
            await store.ping()
            entries = await select_failed(store, entry_filter, limit=_within(limit))
            total = await store.failed.count()
        failed = [failed_as_dict(entry) for entry in entries]
        return self._answer({"account": settings.account, "failed": failed, "all_failed": total})

    async def status(self, *, account: str | None) -> Answer:
        """What waits, what failed, whether workers, sources and Buildr are there."""
        settings = self._settings(account)
        async with open_store(settings, role="cli") as store:
            await store.ping()
            status = await read_account_status(settings, store)
            sources = await read_sources(settings, store)
        states = {source.slug: source.state for source in sources}
        return self._answer({**status.as_dict(), "sources": states})

    async def propose_replay(
        self, names: Sequence[str], *, reads_buildr: bool, account: str | None
    ) -> Answer:
        """What a replay of calls or failed entries would do, with a verdict on each."""
        return await self._replay(
            names, is_dry_run=True, reads_buildr=reads_buildr, account=account
        )

    async def replay(self, names: Sequence[str], *, account: str | None) -> Answer:
        """Replay calls or failed entries; Buildr is read first, and hand edits stay."""
        return await self._replay(names, is_dry_run=False, reads_buildr=True, account=account)

    async def _replay(
        self, names: Sequence[str], *, is_dry_run: bool, reads_buildr: bool, account: str | None
    ) -> Answer:
        settings = self._settings(account)
        if not names:
            raise Failure("name calls, like twilio:CA…, or ids of list_failed")
        # Each is read in Buildr, within the budget that the workers use too.
        if len(names) > MOST_CALLS:
            raise Failure(f"at most {MOST_CALLS} at a time")
        # Never forced: an agent does not write over what an operator has edited.
        options = ReplayOptions(is_dry_run=is_dry_run, is_forced=False, is_offline=not reads_buildr)
        async with open_store(settings, role="cli") as store:
            await store.ping()
            entries = await select_failed(store, FailedFilter(), entry_ids=tuple(names))
            entry_ids = {entry.entry_id for entry in entries}
            refs = await find_refs(store, [name for name in names if name not in entry_ids])

            async def candidates(context: ReplayContext) -> AsyncIterator[ReplayCandidate]:
                async for candidate in failed_candidates(
                    store, entries, context.rules, clock=utc_now
                ):
                    yield candidate
                async for candidate in call_candidates(store, refs, context.rules):
                    yield candidate

            report = await run_replay(
                settings, store, candidates, total=len(names), options=options
            )
        answer = report_as_dict(settings, report, options)
        if report.stopped:
            answer["stopped"] = report.stopped
        return self._answer({"account": settings.account, **answer})

    def _settings(self, account: str | None) -> Settings:
        """The settings of an account. Ends with one line that lists them for a wrong name."""
        if account is None:
            if self.installation.is_default_active:
                return self.installation.default
            raise Failure(f"name an account: {', '.join(self.installation.account_names)}")
        try:
            return self.installation.account(account)
        except SettingsError as err:
            raise Failure("; ".join(err.faults)) from err

    def _answer(self, values: Answer) -> Answer:
        """The values, without telephone numbers unless they are to be shown."""
        if self.shows_numbers:
            return values
        return {key: masked(value, key) for key, value in values.items()}


def masked(value: object, key: str = "") -> object:
    """JSON values with telephone numbers masked; ids stay, and so do their keys' lists."""
    if isinstance(value, Mapping):
        return {str(name): masked(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, key) for item in value]
    if isinstance(value, str) and key not in ID_KEYS:
        return escape_controls(mask_numbers(value), has_lines=True)
    return value


def _choice(name: str, value: str | None) -> str | None:
    """One of the values of a filter. Ends with click's error, which names the nearest one."""
    if not value:
        return None
    return OneOf(CHOICES[name]).convert(value, None, None)


def _moment(value: str | None) -> datetime | None:
    if not value:
        return None
    return Age().convert(value, None, None)


def _within(limit: int) -> int:
    if not 1 <= limit <= MOST_CALLS:
        raise click.UsageError(f"limit must be between 1 and {MOST_CALLS}")
    return limit
