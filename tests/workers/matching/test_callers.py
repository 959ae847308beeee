"""
Who called, by the phone book.
"""

from collections.abc import Mapping

import pytest

from service.events import CallEvent, Direction, EventType, HangupCause, Party
from service.store.connection import Store
from service.store.phone_book import PhoneBookEntry
from workers.calls.fold import Call, fold
from workers.matching.callers import CallerMatch, choose_caller, find_caller, ids_beside
from workers.matching.customer_numbers import MatchingRules

CUSTOMER = "+15005550001"
OURS = "+15005550006"
RULES = MatchingRules(own_numbers=(OURS,))
UNKNOWN_SIDES = MatchingRules()
ANA = PhoneBookEntry(number=CUSTOMER, contact_id="418", company_id="101", project_id="129")
BEN = PhoneBookEntry(number=CUSTOMER, contact_id="419", company_id="101")
EVA = PhoneBookEntry(number=CUSTOMER, contact_id="420", company_id="102")
ALONE = PhoneBookEntry(number=CUSTOMER, contact_id="421")
MAIN_LINE = PhoneBookEntry(number=CUSTOMER, company_id="101")
UNLISTED = PhoneBookEntry(number=CUSTOMER)
UNKNOWN = "The customer's number is not known."


def call(
    from_number: str | None, to_number: str | None, direction: Direction | None = Direction.OUTBOUND
) -> Call:
    """A call that has ended."""
    return fold(
        [
            CallEvent(
                source="twilio",
                message_id="m1",
                source_call_id="CA1",
                leg_id="CA1",
                party=Party.CUSTOMER,
                event_type=EventType.ENDED,
                hangup_cause=HangupCause.BUSY,
                direction=direction,
                from_number=from_number,
                to_number=to_number,
            )
        ]
    )


@pytest.mark.parametrize(
    ("entries", "ids"),
    [
        ([], {}),
        ([ANA], {"contact_id": "418", "company_id": "101", "project_id": "129"}),
        ([MAIN_LINE], {"company_id": "101"}),
        ([ALONE], {"contact_id": "421"}),
        ([ANA, BEN], {"company_id": "101"}),
        ([ANA, MAIN_LINE], {"company_id": "101"}),
        ([ANA, EVA], {}),
        ([ANA, ALONE], {}),
        ([ALONE, UNLISTED], {}),
        ([ANA, UNLISTED], {}),
        ([UNLISTED], {}),
    ],
)
def test_only_person_or_common_company_is_chosen(
    entries: list[PhoneBookEntry], ids: Mapping[str, str]
) -> None:
    """One entry gives all its ids; several give their company if all have the same, else none."""
    assert ids == choose_caller(entries).ids


def test_reason_names_who_it_may_have_been() -> None:
    """Where nobody is chosen, or a company alone, both contacts are named."""
    assert (
        "The phone book has several people for the customer's number, contact 418 of company 101 "
        "and contact 420 of company 102: none of them is sent."
    ) == choose_caller([ANA, EVA]).reason
    assert (
        "The phone book has several people for the customer's number, contact 418 of company 101, "
        "contact 419 of company 101 and company 101: none of them is sent. All are of company 101, "
        "which is sent."
    ) == choose_caller([ANA, BEN, MAIN_LINE]).reason


def test_reason_names_five_at_most() -> None:
    """A line that many people share does not fill the screen."""
    entries = [PhoneBookEntry(number=CUSTOMER, contact_id=str(number)) for number in range(30)]
    assert "contact 3, contact 4 and 25 more: none" in choose_caller(entries).reason


async def test_customers_number_is_looked_up(store: Store) -> None:
    """Outbound it is the number called, inbound the caller's, whatever the other one is."""
    await store.phone_book.put([ANA])
    for folded in (call(OURS, CUSTOMER), call(CUSTOMER, OURS, Direction.INBOUND)):
        match = await find_caller(store.phone_book, folded, RULES)
        assert (
            "418",
            "The phone book has contact 418 of company 101 for the customer's number.",
        ) == (match.ids["contact_id"], match.reason)
    missing = await find_caller(store.phone_book, call(CUSTOMER, "+15005550002"), RULES)
    assert CallerMatch(reason="The phone book does not have the customer's number.") == missing


@pytest.mark.parametrize("number", [None, "anonymous", "+266696687", "+86282452253", OURS, "101"])
async def test_withheld_and_own_numbers_match_nothing(store: Store, number: str | None) -> None:
    """Whatever the book holds, such a number is nobody's."""
    entries = [
        PhoneBookEntry(number=text, contact_id="418") for text in (OURS, "+86282452253", "+101")
    ]
    await store.phone_book.put(entries)
    match = await find_caller(store.phone_book, call(number, OURS, Direction.INBOUND), RULES)
    assert CallerMatch(reason=UNKNOWN) == match


async def test_unknown_direction_needs_own_numbers(store: Store) -> None:
    """Where the source does not say who called, the end that is not ours is the customer."""
    await store.phone_book.put([ANA])
    folded = call(OURS, CUSTOMER, None)
    assert ANA.contact_id == (await find_caller(store.phone_book, folded, RULES)).ids["contact_id"]
    match = await find_caller(store.phone_book, folded, UNKNOWN_SIDES)
    assert {} == match.ids
    assert "OWN_NUMBERS" in match.reason


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({}, {"contact_id": "418", "company_id": "101", "project_id": "129"}),
        ({"project_id": "7"}, {"contact_id": "418", "company_id": "101"}),
        ({"contact_id": "418"}, {"company_id": "101", "project_id": "129"}),
        ({"company_id": "101"}, {"contact_id": "418", "project_id": "129"}),
        ({"contact_id": "500"}, {}),
        ({"company_id": "102"}, {}),
        ({"contact_id": ""}, {}),
        (
            {"call_outcome_id": "786"},
            {"contact_id": "418", "company_id": "101", "project_id": "129"},
        ),
    ],
)
def test_ids_beside_others(others: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Ids chosen by hand stay, and where they are about somebody else nothing is added."""
    ids = {"contact_id": "418", "company_id": "101", "project_id": "129"}
    assert expected == ids_beside(ids, others)


def test_company_alone_is_not_written_beside_a_contact() -> None:
    """Of a shared number only the company is known: a contact chosen by hand may be of another."""
    assert {} == ids_beside({"company_id": "101"}, {"contact_id": "500"})


def test_contact_without_company_is_written_beside_a_company() -> None:
    """What the book does not know contradicts nothing."""
    assert {"contact_id": "421"} == ids_beside({"contact_id": "421"}, {"company_id": "101"})
