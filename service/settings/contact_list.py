"""
The settings of Buildr's list of contacts, which is not documented.
"""

from typing import Final

from pydantic import Field

from service.settings.parts import SettingsPart
from service.settings.types import Words

CONTACTS_PATH: Final = "^[A-Za-z0-9_./-]{1,200}$"


class ContactListSettings(SettingsPart):
    """Where the list of contacts is, and how the fields of a contact are named."""

    buildr_contacts_path: str = Field(
        "contacts",
        pattern=CONTACTS_PATH,
        description="Path of Buildr's list of contacts below BUILDR_API_URL, for `phonebook sync`.",
    )
    buildr_contacts_key: str = Field(
        "contacts", description="Key of that list in the answer; `items` is read too."
    )
    buildr_contact_phones: Words = Field(
        ("mobile_phone", "office_phone"),
        description="Fields of a contact that hold telephone numbers.",
    )
    buildr_contact_company: Words = Field(
        ("company.id", "company_id"),
        description=(
            "Fields of a contact that may name its company; the first one counts. A dot leads into "
            "an object."
        ),
    )
    buildr_contact_project: Words = Field(
        (), description="Fields of a contact that may name its project, in the same way."
    )
