"""
Who called: the contact, company and project in Buildr of a call's customer, by the phone book.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from service.listed_numbers import read_listed_number
from service.store.phone_book import PhoneBook, PhoneBookEntry
from workers.calls.fold import Call
from workers.matching.customer_numbers import MatchingRules, customer_numbers

CONTACT_FIELD: Final = "contact_id"
COMPANY_FIELD: Final = "company_id"
PROJECT_FIELD: Final = "project_id"
MAX_SHOWN: Final = 5


class CallerMatch(Struct, frozen=True, kw_only=True):
    """
    What the phone book says about a call: `ids` by their field in Buildr, and a sentence for the
    operator, which names who it might have been where nobody was chosen.
    """

    reason: str
    ids: Mapping[str, str] = field(default_factory=dict)


async def find_caller(phone_book: PhoneBook, call: Call, rules: MatchingRules) -> CallerMatch:
    """
    Look the customer's number up.

    A withheld number and one of our own match nothing. Where the source does not say which end is
    the customer's, nothing is matched unless one of the two ends is ours. Raises redis-py's errors.
    """
    numbers = dict.fromkeys(
        read_listed_number(number.e164, region=rules.default_region)
        for number in customer_numbers(call, rules)
    )
    listed_numbers = [number for number in numbers if number is not None]
    if not listed_numbers:
        return CallerMatch(reason="The customer's number is not known.")
    if len(listed_numbers) > 1:
        return CallerMatch(
            reason="Either number may be the customer's: list your own in OWN_NUMBERS."
        )
    return choose_caller(await phone_book.find(listed_numbers[0]))


def choose_caller(entries: Sequence[PhoneBookEntry]) -> CallerMatch:
    """
    Choose among the entries of one number: the only one, or none of several.

    Of several that are all of one company, the company alone is chosen.
    """
    if not entries:
        return CallerMatch(reason="The phone book does not have the customer's number.")
    if len(entries) == 1 and ids_of(entries[0]):
        return CallerMatch(
            reason=f"The phone book has {_described(entries[0])} for the customer's number.",
            ids=ids_of(entries[0]),
        )
    reason = (
        f"The phone book has several people for the customer's number, {_listed(entries)}: "
        "none of them is sent."
    )
    companies = {entry.company_id for entry in entries}
    company_id = companies.pop()
    if companies or company_id is None:
        return CallerMatch(reason=reason)
    return CallerMatch(
        reason=f"{reason} All are of company {company_id}, which is sent.",
        ids={COMPANY_FIELD: company_id},
    )


def ids_of(entry: PhoneBookEntry) -> dict[str, str]:
    """The ids of an entry by their field in Buildr, those that it has."""
    ids = {
        CONTACT_FIELD: entry.contact_id,
        COMPANY_FIELD: entry.company_id,
        PROJECT_FIELD: entry.project_id,
    }
    return {name: value for name, value in ids.items() if value is not None}


def ids_beside(ids: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """
    Those of the phone book's ids that may be written beside others, which were chosen by hand.

    None of them where contact or company contradict: the others are about somebody else. A project
    that was chosen by hand contradicts nothing, since contacts have many.
    """
    if CONTACT_FIELD in others and others[CONTACT_FIELD] != ids.get(CONTACT_FIELD):
        return {}
    if COMPANY_FIELD in others and others[COMPANY_FIELD] != ids.get(
        COMPANY_FIELD, others[COMPANY_FIELD]
    ):
        return {}
    return {name: value for name, value in ids.items() if name not in others}


def _described(entry: PhoneBookEntry) -> str:
    """`contact 418 of company 101`, or what the entry has of it."""
    if entry.contact_id is not None and entry.company_id is not None:
        return f"contact {entry.contact_id} of company {entry.company_id}"
    ids = {"contact": entry.contact_id, "company": entry.company_id, "project": entry.project_id}
    for noun, value in ids.items():
        if value is not None:
            return f"{noun} {value}"
    return "others"


def _listed(entries: Sequence[PhoneBookEntry]) -> str:
    texts = [_described(entry) for entry in entries[:MAX_SHOWN]]
    if len(entries) > MAX_SHOWN:
        texts.append(f"{len(entries) - MAX_SHOWN} more")
    if len(texts) == 1:
        return texts[0]
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
