"""
`buildr-calls forget`: delete what is stored about a telephone number or a call.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Final

import click

from service.listed_numbers import read_listed_number
from service.logs.phone_masking import mask_number
from service.settings import Settings
from service.store.connection import Store
from service.store.erasure import Erased, Found
from workers.cli.failure import Failure
from workers.cli.forget_report import (
    Findings,
    Report,
    Unreadable,
    print_audit_line,
    print_report,
)
from workers.cli.number_search import number_matcher
from workers.cli.output import echo
from workers.cli.session import run_with_store
from workers.replay.find_calls import find_by_name

# A job writes a call within seconds; a dead worker's calls are taken over in 15.
WAIT_S: Final = 20.0
RETRY_S: Final = 0.25
# In an address of a telephone they come before a colon, and are no source.
ADDRESS_SCHEMES: Final = frozenset({"sip", "sips", "tel", "whatsapp"})


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
    if findings.unreadable.count:
        echo(findings.unreadable.note(), is_error=True)
    if findings.is_empty:
        raise Failure("nothing is stored about it")
    if is_dry_run:
        print_report(Report(findings=findings), as_json=as_json)
        return
    if not is_agreed:
        print_report(Report(findings=findings), as_json=False)
        click.confirm("Delete it for good?", abort=True, err=True)
    report = run_with_store(lambda _, store: _erase(store, findings))
    print_report(report, as_json=as_json)
    print_audit_line(settings, report)
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
        if claim is not None and await store.expected.is_kept(claim):
            expected.append(claim)
    return Findings(subject=text, calls=calls, expected=tuple(expected))


async def _find_number(store: Store, number: str) -> Findings:
    matches = number_matcher(number)
    messages: dict[str, list[str]] = defaultdict(list)
    readable, damaged = await _split(store.erasure.messages(matches))
    for message in readable:
        messages[message.ref].append(message.name)
    loose_messages = {*messages.pop("", ())}
    calls, damaged_calls = await _split(store.erasure.calls(matches))
    refs = {*messages, *(call.ref for call in calls)}
    async for entry_id in store.erasure.failed(matches):
        if ":" in entry_id:
            refs.add(entry_id)
        else:
            loose_messages.add(entry_id)
    refs.update(await store.erasure.links(matches))
    expected, damaged_expected = await _split(store.erasure.expected(number, matches))
    return Findings(
        subject=mask_number(number),
        number=number,
        calls={ref: tuple(messages.get(ref, ())) for ref in sorted(refs)},
        loose_messages=tuple(sorted(loose_messages)),
        expected=tuple(entry.name for entry in expected),
        unreadable=Unreadable(
            calls=tuple(sorted({call.ref for call in damaged_calls} - refs)),
            expected=tuple(entry.name for entry in damaged_expected),
            # Those of a call that is deleted are deleted with it.
            messages=sum(message.ref not in refs for message in damaged),
        ),
        phone_book=len(await store.phone_book.find(number)),
    )


async def _split(records: AsyncIterator[Found]) -> tuple[list[Found], list[Found]]:
    """The records of the subject, and those that cannot be read."""
    gathered = [record async for record in records]
    damaged = [record for record in gathered if not record.is_readable]
    return [record for record in gathered if record.is_readable], damaged


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
