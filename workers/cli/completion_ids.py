"""
Ids of calls for a shell that completes them.
"""

import asyncio
import re
from contextlib import suppress
from typing import Final

import click

from service.errors import BuildrCallsError
from service.settings import Settings
from service.store.call_listing import CallQuery
from service.store.connection import open_store
from service.store.keys import split_ref
from service.store.redis_trouble import REDIS_ERRORS
from workers.cli.accounts import load_settings

# Of the newest calls.
MOST: Final = 50
# TAB waits for it, so that a Redis that is away must not hold up the shell.
TIMEOUT_S: Final = 2.0
# bash ends a word at a colon, so that the id is completed alone, without its source.
ONE_WORD: Final = re.compile(r"[\w.+-]+", re.ASCII)


def newest_ids(beginning: str) -> list[tuple[str, str]]:
    """
    The ids of the newest calls that begin so, with what tells them apart; empty where there is no
    Redis.
    """
    # A shell would print whatever goes wrong into the line that is typed.
    with suppress(click.ClickException, *REDIS_ERRORS, OSError, BuildrCallsError):
        return asyncio.run(_newest(load_settings(is_local=True), beginning))
    return []


async def _newest(settings: Settings, beginning: str) -> list[tuple[str, str]]:
    async with asyncio.timeout(TIMEOUT_S), open_store(settings, role="cli") as store:
        page = await store.listing.page(CallQuery(), limit=MOST)
    ids = []
    for call in page.calls:
        source_call_id = split_ref(call.ref)[1]
        if source_call_id.startswith(beginning) and ONE_WORD.fullmatch(source_call_id):
            facts = (call.customer, call.agent, call.result, call.state)
            ids.append((source_call_id, ", ".join(fact for fact in facts if fact)))
    return ids
