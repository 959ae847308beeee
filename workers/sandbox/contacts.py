"""
The contacts of the account that the sandbox simulates, in the shape of a contact's update:
https://buildr.dev/api-reference/contact/update-contact.

Their list is not documented; the sandbox lists them as it does call outcomes.
"""

from typing import Final

from msgspec import Struct

from workers.sandbox.records import Json, company_as_json, person_as_json


class HeldContact(Struct, frozen=True, kw_only=True):
    """A contact; two of them share a line, and one has a text in place of a number."""

    id: str
    company_id: str
    mobile_phone: str | None = None
    office_phone: str | None = None

    def as_json(self) -> Json:
        """The contact in the shape of the published answer."""
        return {
            **person_as_json(self.id, "Site", f"Office {self.id}"),
            "job_title": "Superintendent",
            "mobile_phone": self.mobile_phone,
            "office_phone": self.office_phone,
            "linked_in_profile_url": None,
            "company": company_as_json(self.company_id),
            "assigned_to": None,
            "created_by": person_as_json("953", "Sandbox", "User"),
            "import": None,
            "custom_fields": {},
        }


# 500-555-0001 is the customer of the simulated calls.
CONTACTS: Final = (
    HeldContact(
        id="418",
        company_id="101",
        mobile_phone="500-555-0001",
        office_phone="500-555-0100 x301",
    ),
    HeldContact(id="419", company_id="102", office_phone="500-555-0200 x12"),
    HeldContact(id="420", company_id="103", mobile_phone="+44 20 7946 0018"),
    HeldContact(id="421", company_id="104", office_phone="ask at the gate"),
    HeldContact(id="422", company_id="102", office_phone="500-555-0200 x14"),
)
