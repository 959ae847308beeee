"""
Entries of the phone book from a contact as Buildr lists it.
"""

import json
from collections.abc import Mapping

import pytest

from service.store.phone_book import Origin, PhoneBookEntry
from workers.contacts.fields import ContactEntries, ContactFields, entries_of

FIELDS = ContactFields(
    phones=("mobile_phone", "office_phone"),
    company=("company.id", "company_id"),
    project=(),
    region="US",
)
# The answer to the update of a contact, as published, without what is not read.
PUBLISHED = """{
  "id": "144", "email": "austin.reaves@example.com", "name": "Austin Reaves",
  "mobile_phone": "500-555-0001", "office_phone": "500-555-0006 x301",
  "company": {"id": "101", "name": "Culver Builders", "website": null}
}"""


def entry(number: str, **ids: str) -> PhoneBookEntry:
    """An entry that came from Buildr's list."""
    return PhoneBookEntry(
        number=number,
        contact_id=ids.get("contact_id", "144"),
        company_id=ids.get("company_id"),
        project_id=ids.get("project_id"),
        origin=Origin.SYNC,
    )


def test_published_contact_has_two_numbers() -> None:
    """Mobile and office telephone are read, without the extension, and the company's id."""
    expected = [
        entry("+15005550001", company_id="101"),
        entry("+15005550006", company_id="101"),
    ]
    assert ContactEntries(entries=tuple(expected)) == entries_of(json.loads(PUBLISHED), FIELDS)


@pytest.mark.parametrize(
    ("contact", "company_id"),
    [
        ({"company": None}, None),
        ({"company": {"id": 101}}, "101"),
        ({"company_id": "102"}, "102"),
        ({"company": None, "company_id": 102}, "102"),
        ({"company": "101"}, None),
        ({"company": {"id": "abc"}}, None),
        ({"company": {"id": True}}, None),
    ],
)
def test_company_may_be_an_object_or_an_id(
    contact: Mapping[str, object], company_id: str | None
) -> None:
    """The first of the named paths that leads to an id counts."""
    read = entries_of({"id": 144, "mobile_phone": "+15005550001", **contact}, FIELDS)
    assert [company_id] == [item.company_id for item in read.entries]


def test_fields_are_settings() -> None:
    """Other names, and fields within objects, are read where the settings name them."""
    fields = ContactFields(
        phones=("phones.direct",), company=("account",), project=("main.project.id",), region="GB"
    )
    contact = {
        "id": "144",
        "phones": {"direct": "020 7946 0018"},
        "account": "7",
        "main": {"project": {"id": "129"}},
    }
    expected = entry("+442079460018", company_id="7", project_id="129")
    assert ContactEntries(entries=(expected,)) == entries_of(contact, fields)


@pytest.mark.parametrize(
    ("contact", "unreadable"),
    [
        ({"id": "144"}, 0),
        ({"id": "144", "mobile_phone": None, "office_phone": ""}, 0),
        ({"id": "144", "mobile_phone": "ask", "office_phone": ["+15005550001"]}, 1),
        ({"id": "144", "mobile_phone": "000-000-0000", "office_phone": "none"}, 2),
        ({"id": None, "mobile_phone": "+15005550001"}, 1),
        ({"mobile_phone": "+15005550001"}, 1),
    ],
)
def test_contact_without_number_has_no_entry(
    contact: Mapping[str, object], unreadable: int
) -> None:
    """What is empty is left out; what cannot be read is counted."""
    assert ContactEntries(unreadable=unreadable) == entries_of(contact, FIELDS)


def test_equal_numbers_are_one_entry() -> None:
    """Mobile and office may be the same telephone."""
    contact = {"id": "144", "mobile_phone": "5005550001", "office_phone": "+1 (500) 555-0001"}
    assert 1 == len(entries_of(contact, FIELDS).entries)
