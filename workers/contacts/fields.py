"""
Entries of the phone book from a contact as Buildr lists it.

Buildr documents the fields of a contact by its update only
(https://buildr.dev/api-reference/contact/update-contact): `mobile_phone`, `office_phone` with an
extension (`555-555-5555 x301`), `company` in the answer. That the list shows the same is assumed.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Self

from msgspec import Struct

from service.buildr_ids import is_buildr_id
from service.listed_numbers import read_listed_number
from service.settings import Settings
from service.store.phone_book import Origin, PhoneBookEntry

ID_FIELD: Final = "id"


class ContactFields(Struct, frozen=True, kw_only=True):
    """
    Where a contact has its numbers, company and project.

    Each is a path: `company.id` is the field `id` of the object `company`. Of those of an id the
    first one counts that holds any.
    """

    phones: tuple[str, ...]
    company: tuple[str, ...]
    project: tuple[str, ...]
    region: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The fields that the settings name."""
        return cls(
            phones=settings.buildr_contact_phones,
            company=settings.buildr_contact_company,
            project=settings.buildr_contact_project,
            region=settings.default_region,
        )


class ContactEntries(Struct, frozen=True, kw_only=True):
    """The entries of a contact, and how many of its numbers, or its id, could not be read."""

    entries: tuple[PhoneBookEntry, ...] = ()
    unreadable: int = 0


def entries_of(contact: Mapping[str, object], fields: ContactFields) -> ContactEntries:
    """An entry for each telephone number of a contact."""
    contact_id = _id_at(contact, (ID_FIELD,))
    if contact_id is None:
        return ContactEntries(unreadable=1)
    texts = [_text_at(contact, path) for path in fields.phones]
    numbers = [read_listed_number(text, region=fields.region) for text in texts if text]
    listed_numbers = dict.fromkeys(number for number in numbers if number is not None)
    company_id = _id_at(contact, fields.company)
    project_id = _id_at(contact, fields.project)
    return ContactEntries(
        entries=tuple(
            PhoneBookEntry(
                number=number,
                contact_id=contact_id,
                company_id=company_id,
                project_id=project_id,
                origin=Origin.SYNC,
            )
            for number in listed_numbers
        ),
        unreadable=numbers.count(None),
    )


def _id_at(contact: Mapping[str, object], paths: Sequence[str]) -> str | None:
    """The first id that one of the paths leads to, whether a string or a number."""
    for path in paths:
        text = _text_at(contact, path)
        if is_buildr_id(text):
            return text
    return None


def _text_at(contact: Mapping[str, object], path: str) -> str:
    """The text or number that a path leads to; empty if there is none."""
    value: object = contact
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return ""
        value = value.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()
