"""
`explain` of a call that the service knows: found in any account, the answer first.
"""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec import Struct

from service.plain_values import plain_fields
from service.settings import Settings
from service.store.calls import DamagedRecord
from service.store.connection import Store, open_store
from service.store.listed_call import ListedCall, listed_call
from service.store.rate_limit.backlog import Outage
from workers.cli.accounts import command_line, load_accounts
from workers.cli.explain_report import print_delivery, print_explanation
from workers.cli.failure import Failure
from workers.cli.output import echo, print_fact, print_json, utc_text
from workers.cli.program import PROGRAM
from workers.cli.refused_report import refused_sentence
from workers.cli.session import run_reporting_redis_errors
from workers.matching.customer_numbers import MatchingRules
from workers.replay.call_summary import CallSummary, summarize
from workers.replay.explain import StoredCallExplanation, explain_call
from workers.replay.find_calls import PARTLY_COMPARED, find_calls

EPOCH: Final = datetime.fromtimestamp(0, UTC)


class FoundCall(Struct, frozen=True, kw_only=True):
    """A call, its account's settings, and the account's time, workers and outage as it was read."""

    ref: str
    settings: Settings
    explanation: StoredCallExplanation
    now: datetime
    worker_count: int
    outage: Outage | None

    @property
    def summary(self) -> CallSummary:
        """The call in one sentence."""
        return summarize(
            self.explanation.delivery,
            now=self.now,
            worker_count=self.worker_count,
            outage=self.outage,
        )

    @property
    def listed(self) -> ListedCall:
        """The call as a list shows it."""
        record = self.explanation.delivery.stored.record
        return listed_call(record, last_at=record.last_received_at or EPOCH)


class AccountSearch(Struct, frozen=True, kw_only=True):
    """
    The calls of an account that fit, and the names of those that cannot be read; if there are
    none, sentences of what was refused there, and whether the names of all its calls were compared.
    """

    calls: tuple[FoundCall, ...] = ()
    damaged: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    compared_all: bool = True


def explain_stored_call(text: str, *, as_json: bool) -> None:
    """
    Explain the call that a text means. Ends the command with exit code 1 if there is none, or
    several.
    """
    installation = load_accounts(is_local=True)
    accounts = installation.accounts or (installation.default,)
    searches = [
        run_reporting_redis_errors(settings, partial(find_in, settings, text))
        for settings in accounts
    ]
    gathered = [call for search in searches for call in search.calls]
    if not gathered:
        raise Failure(nothing_known(text, accounts, searches))
    for ref in _damaged(searches):
        echo(_damaged_sentence(ref), is_error=True)
    if len(gathered) > 1:
        raise Failure("\n  ".join(["several calls fit; which one?", *map(_line, gathered)]))
    (call,) = gathered
    if as_json:
        print_json(call_as_dict(call))
    else:
        _print(call, is_account_named=len(accounts) > 1)


async def find_in(settings: Settings, text: str) -> AccountSearch:
    """
    Look for a call in an account. Raises redis-py's errors, and `QueueUnavailable`.
    """
    async with open_store(settings, role="cli") as store:
        await store.ping()
        refs = await find_calls(store, text, region=settings.default_region)
        calls = []
        damaged = []
        for ref in refs:
            # One that is damaged must not keep the others from being shown.
            try:
                calls.append(await _read(store, settings, ref))
            except DamagedRecord as err:
                damaged.append(err.ref)
        gathered = tuple(call for call in calls if call is not None)
        if gathered or damaged:
            return AccountSearch(calls=gathered, damaged=tuple(damaged))
        return AccountSearch(
            refused=tuple(await refused_sentence(store, text.partition(":")[0])),
            compared_all=await store.listing.compares_all(),
        )


async def _read(store: Store, settings: Settings, ref: str) -> FoundCall | None:
    rules = MatchingRules.of(settings)
    explanation = await explain_call(store, ref, settings.outcome_config, rules=rules)
    # It has expired since it was found.
    if explanation is None:
        return None
    return FoundCall(
        ref=ref,
        settings=settings,
        explanation=explanation,
        now=await store.time(),
        worker_count=await store.workers.count(),
        outage=(await store.backlog()).outage,
    )


def nothing_known(
    text: str, accounts: Sequence[Settings], searches: Sequence[AccountSearch]
) -> str:
    """
    What to say of a call that no account knows, or that cannot be read; `searches` are those of the
    accounts.
    """
    if damaged := _damaged(searches):
        return "\n  ".join(map(_damaged_sentence, damaged))
    places = ""
    if len(accounts) > 1:
        names = ", ".join(settings.account for settings in accounts)
        places = f" in any account ({names})"
    first = f"nothing is known of a call {text}{places}: no webhook of it was taken."
    bound = []
    if not all(search.compared_all for search in searches):
        bound = [PARTLY_COMPARED]
    refused = [sentence for search in searches for sentence in search.refused]
    if refused:
        return "\n  ".join([first, *bound, *refused, "see: buildr-calls refused list"])
    advice = (
        "Is the callback URL set at the source (buildr-calls link-url)? Was its signature refused "
        "(buildr-calls refused list, and message.rejected in the receiver's log)?"
    )
    return " ".join([first, *bound, advice])


def _damaged(searches: Sequence[AccountSearch]) -> list[str]:
    return [ref for search in searches for ref in search.damaged]


def _damaged_sentence(ref: str) -> str:
    name = shlex.quote(ref)
    return (
        f"what is stored of {ref} cannot be read. Have it set aside with its messages, and made "
        f"again from them: {PROGRAM} replay {name}, and then {PROGRAM} failed replay {name}"
    )


def _line(call: FoundCall) -> str:
    listed = call.listed
    facts = (
        call.ref,
        utc_text(listed.started_at),
        listed.customer,
        listed.agent,
        listed.result,
        listed.state,
    )
    line = "  ".join(fact for fact in facts if fact)
    if call.settings.is_default:
        return line
    return f"{line}  --account {call.settings.account}"


def call_as_dict(call: FoundCall) -> dict[str, object]:
    """A call with its explanation as plain JSON values."""
    facts: dict[str, object] = {}
    if call.explanation.call is not None:
        facts = call.explanation.call.as_dict()
    return {
        "ref": call.ref,
        "account": call.settings.account,
        "summary": plain_fields(call.summary),
        **facts,
        "delivery": call.explanation.delivery.as_dict(),
    }


def _print(call: FoundCall, *, is_account_named: bool) -> None:
    summary = call.summary
    echo(summary.sentence)
    if summary.next_command:
        echo(f"next: {command_line(call.settings, summary.next_command)}")
    if summary.runbook:
        echo(f"runbook: {summary.runbook}")
    echo()
    if is_account_named:
        print_fact("account", call.settings.account)
    if call.explanation.call is not None:
        print_explanation(call.explanation.call)
    else:
        print_fact("call", call.ref)
    print_delivery(call.explanation.delivery, call.now)
