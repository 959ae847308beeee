"""
`buildr-calls forget`: delete what is stored about a telephone number or a call.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import click
from msgspec import Struct, field

from service.listed_numbers import read_listed_number
from service.logs.events import LogEvent
from service.logs.phone_masking import mask_number
from service.logs.setup import log_line
from service.settings import Settings
from service.store.connection import Store
from service.store.erasure import Erased
from workers.cli.failure import Failure
from workers.cli.number_search import number_matcher
from workers.cli.output import echo, print_fact, print_json
from workers.cli.session import run_with_store
from workers.replay.find_calls import find_by_name

# A job writes a call within seconds; a dead worker's calls are taken over in 15.
WAIT_S: Final = 20.0
RETRY_S: Final = 0.25
FACT_WIDTH: Final = 16
# All of them: a number of somebody who is to be forgotten must not stay in the thousandth.
ALL_EXPECTED: Final = 10_000_000
# In an address of a telephone they come before a colon, and are no source.
ADDRESS_SCHEMES: Final = frozenset({"sip", "sips", "tel", "whatsapp"})
NOT_TOUCHED: Final = (
    "Not touched: what Buildr and the telephony system hold, backups, logs, and what waits in a "
    "receiver's spool."
)


class Findings(Struct, frozen=True, kw_only=True):
    """
    What is stored about the subject: calls by name, each with raw messages beyond its own; messages
    and failed entries without a call; expected calls by Buildr call; entries of the phone book.
    """

    subject: str
    number: str | None = None
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    loose_messages: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    phone_book: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.calls or self.loose_messages or self.expected or self.phone_book)


class Report(Struct, frozen=True, kw_only=True):
    """What was deleted, or would be; `running` are calls that a worker did not let go in time."""

    findings: Findings
    erased: Erased | None = None
    running: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """
        Plain JSON values; the counts of `erased` are null in a dry run, since they are known when
        they are deleted.
        """
        erased = self.erased
        return {
            "subject": self.findings.subject,
            "is_dry_run": erased is None,
            "calls": sorted(self.findings.calls),
            "expected_calls": list(self.findings.expected),
            "phone_book_entries": self.findings.phone_book,
            "messages_without_call": len(self.findings.loose_messages),
            "messages": erased and erased.messages,
            "failed": erased and erased.failed,
            "links": erased and erased.links,
            "still_running": list(self.running),
        }


@click.command()
@click.argument("subject", metavar="NUMBER | SOURCE:CALL_ID")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", "is_agreed", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; goes with --dry-run or --yes.")
def forget(subject: str, *, is_dry_run: bool, is_agreed: bool, as_json: bool) -> None:
    """
    Delete what is stored about a telephone number or one call, for good: calls, raw messages,
    failed entries, links, expected calls, the phone book's entries.

    A number is found wherever it is written, in every call and message. Buildr is not touched.

    \b
    Examples:
      buildr-calls forget "+1 500 555 0006" --dry-run
      buildr-calls forget twilio:CA00000000000000000000000000000001
    """
    if as_json and not (is_dry_run or is_agreed):
        raise click.UsageError("--json goes with --dry-run or --yes: there is no place to ask")

    async def search(settings: Settings, store: Store) -> tuple[Settings, Findings]:
        return settings, await _find(settings, store, subject)

    settings, findings = run_with_store(search)
    if findings.is_empty:
        raise Failure("nothing is stored about it")
    if is_dry_run:
        _print(Report(findings=findings), as_json=as_json)
        return
    if not is_agreed:
        _print(Report(findings=findings), as_json=False)
        click.confirm("Delete it for good?", abort=True, err=True)
    report = run_with_store(lambda _, store: _erase(store, findings))
    _print(report, as_json=as_json)
    _print_audit_line(settings, report)
    if report.running:
        raise Failure("workers are at calls of it just now: run the command again")


async def _find(settings: Settings, store: Store, subject: str) -> Findings:
    """What is stored about a number or a call. Ends the command if it is neither."""
    source, colon, _ = subject.partition(":")
    if colon and source.isalnum() and source.lower() not in ADDRESS_SCHEMES:
        return await _find_call(store, subject)
    number = read_listed_number(subject, region=settings.default_region)
    if number is None:
        raise click.UsageError(
            "name a telephone number, like +15005550006, or a call, like twilio:CA0123"
        )
    return await _find_number(store, number)


async def _find_call(store: Store, text: str) -> Findings:
    # By its whole name: a part of one may be another's too, and nothing brings a call back.
    refs = await find_by_name(store, text)
    if not refs and await store.erasure.is_named(text):
        refs = [text]
    calls: dict[str, tuple[str, ...]] = dict.fromkeys(refs, ())
    expected = []
    for ref in refs:
        claim = await store.erasure.claim_of(ref)
        # A call claims its Buildr call also where no expected call was registered.
        if claim is not None and await store.expected.get(claim) is not None:
            expected.append(claim)
    return Findings(subject=text, calls=calls, expected=tuple(expected))


async def _find_number(store: Store, number: str) -> Findings:
    matches = number_matcher(number)
    messages: dict[str, list[str]] = defaultdict(list)
    async for message_id, ref in store.erasure.messages(matches):
        messages[ref].append(message_id)
    loose_messages = {*messages.pop("", ())}
    refs = set(messages)
    async for ref in store.erasure.calls(matches):
        refs.add(ref)
    async for entry_id in store.erasure.failed(matches):
        if ":" in entry_id:
            refs.add(entry_id)
        else:
            loose_messages.add(entry_id)
    refs.update(await store.erasure.links(matches))
    expected = [
        entry.buildr_call_id
        for entry in await store.expected.newest(limit=ALL_EXPECTED)
        if any(other.e164 == number for other in entry.numbers)
    ]
    return Findings(
        subject=mask_number(number),
        number=number,
        calls={ref: tuple(messages.get(ref, ())) for ref in sorted(refs)},
        loose_messages=tuple(sorted(loose_messages)),
        expected=tuple(expected),
        phone_book=len(await store.phone_book.find(number)),
    )


async def _erase(store: Store, findings: Findings) -> Report:
    """Delete what was found, calls that a worker runs as soon as it has done with them."""
    # First: taking an expected call away wakes calls, and these are deleted next.
    for buildr_call_id in findings.expected:
        await store.expected.remove(buildr_call_id)
    erased = Erased()
    running = []
    until = time.monotonic() + WAIT_S
    for ref, message_ids in findings.calls.items():
        erased_call = await store.erasure.erase(ref, message_ids)
        while erased_call is None and time.monotonic() < until:
            await asyncio.sleep(RETRY_S)
            erased_call = await store.erasure.erase(ref, message_ids)
        if erased_call is None:
            running.append(ref)
        else:
            erased += erased_call
    if findings.calls:
        await store.erasure.drop_continuations(findings.calls)
    loose = await store.erasure.erase("", findings.loose_messages)
    if loose is not None:
        erased += loose
    if findings.number is not None:
        await store.phone_book.remove(findings.number)
        await store.erasure.drop_number(findings.number)
    return Report(findings=findings, erased=erased, running=tuple(running))


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json(report.as_dict())
        return
    findings = report.findings
    erased = report.erased
    facts: dict[str, object] = {"calls": len(findings.calls)}
    step = "deleted"
    if erased is None:
        step = "would delete"
        facts["other messages"] = len(findings.loose_messages)
    else:
        facts["calls"] = erased.calls
        facts["raw messages"] = erased.messages
        facts["failed entries"] = erased.failed
        facts["links"] = erased.links
    facts["expected calls"] = len(findings.expected)
    facts["phone book"] = findings.phone_book
    print_fact(step, findings.subject, width=FACT_WIDTH)
    for name, count in facts.items():
        print_fact(f"  {name}", str(count), width=FACT_WIDTH)
    for ref in findings.calls:
        echo(f"  {ref}")
    for ref in report.running:
        echo(f"  {ref} (a worker is at it)")
    echo(NOT_TOUCHED)


def _print_audit_line(settings: Settings, report: Report) -> None:
    """One line as in the service's log, on stderr, for whoever has to prove what was deleted."""
    erased = report.erased or Erased()
    line = log_line(
        LogEvent.DATA_FORGOTTEN,
        account=settings.account,
        subject=report.findings.subject,
        calls=erased.calls,
        messages=erased.messages,
        failed=erased.failed,
        links=erased.links,
        expected_calls=len(report.findings.expected),
        phone_book_entries=report.findings.phone_book,
        still_running=len(report.running),
    )
    echo(line, is_error=True)
