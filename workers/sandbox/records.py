"""
The account that the sandbox simulates: its calls, what they are filed under, its call outcomes and
its tokens.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from workers.sandbox.rate_limit import NS_PER_S

OUTCOMES: Final[Mapping[str, str]] = {
    "786": "Connected",
    "787": "Left Voicemail",
    "788": "Voicemail Received",
    "789": "No Answer",
    "790": "Busy",
    "791": "Wrong Number",
    "792": "Missed Call",
}
COMPANIES: Final[Mapping[str, str]] = {
    "101": "Culver Builders",
    "102": "Harbor Steel Erectors",
    "103": "Ridgeline Concrete",
    "104": "Oak Street Properties",
    "753": "Northgate Schools District",
}
PROJECTS: Final[Mapping[str, str]] = {
    "129": "Culver High Rise",
    "130": "Harbor Warehouse",
    "131": "Ridgeline Parking Deck",
    "132": "Oak Street Clinic",
    "372": "Northgate Gymnasium",
}
# The first id of an outcome that is not among those above.
FIRST_MORE: Final = 901
FIRST_CALL: Final = 101
LAST_CALL: Final = 120
FIRST_CONTACT: Final = 418
MADE_AT: Final = "2023-02-14T18:13:00Z"
# For benchmarks, which make a call for each PATCH: memory stays within bounds.
MOST_CALLS: Final = 200_000
MOST_TOKENS: Final = 1000

Json = dict[str, object]


@dataclass(slots=True, kw_only=True)
class HeldCall:
    """A call as the account holds it; ids of what it is filed under, times as text."""

    id: str
    created_at: str
    updated_at: str
    notes: str | None = None
    recorded_at: str | None = None
    call_outcome_id: str | None = None
    company_id: str | None = None
    contact_id: str | None = None
    project_id: str | None = None

    def as_json(self, outcomes: Mapping[str, str] = OUTCOMES) -> Json:
        """The call in the shape of the published answer; `outcomes` are the account's, by id."""
        return {
            "id": self.id,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "notes": self.notes,
            "recorded_at": self.recorded_at,
            "call_outcome": None
            if self.call_outcome_id is None
            else outcome_as_json(self.call_outcome_id, outcomes),
            "company": None if self.company_id is None else company_as_json(self.company_id),
            "contact": None
            if self.contact_id is None
            else person_as_json(self.contact_id, "Site", f"Office {self.contact_id}"),
            "created_by": person_as_json("953", "Sandbox", "User"),
            "project": None
            if self.project_id is None
            else _named(
                self.project_id, PROJECTS.get(self.project_id, f"Project {self.project_id}")
            ),
        }


def seed_calls() -> dict[str, HeldCall]:
    """The calls 101 to 120, by id."""
    return {str(number): _seed(number) for number in range(FIRST_CALL, LAST_CALL + 1)}


@dataclass(slots=True)
class Calls:
    """
    The calls of the account. Of those that were made on the way, the oldest go when there are too
    many.
    """

    outcomes: Mapping[str, str] = field(default_factory=lambda: OUTCOMES)
    by_id: dict[str, HeldCall] = field(default_factory=seed_calls)

    def get(self, call_id: str) -> HeldCall | None:
        """A call, or None."""
        return self.by_id.get(call_id)

    def create(self, call_id: str, now_ns: int) -> HeldCall:
        """A new call with nothing in it."""
        if len(self.by_id) >= MOST_CALLS:
            del self.by_id[
                next(call for call in self.by_id if not FIRST_CALL <= int(call) <= LAST_CALL)
            ]
        made = self.by_id[call_id] = HeldCall(
            id=call_id, created_at=moment(now_ns), updated_at=moment(now_ns)
        )
        return made

    def update(self, call: HeldCall, fields: Mapping[str, str | None], now_ns: int) -> None:
        """Change the fields that are given, and the time of the last update if there are any."""
        for name, value in fields.items():
            setattr(call, name, value)
        if fields:
            call.updated_at = moment(now_ns)


@dataclass(slots=True)
class Tokens:
    """The access tokens that were given out and are still good."""

    life_s: int
    ready: str | None
    _expiries: dict[str, int] = field(default_factory=dict, init=False)

    def issue(self, now_ns: int) -> str:
        """A new token."""
        self._expiries = {token: end for token, end in self._expiries.items() if now_ns < end}
        while len(self._expiries) >= MOST_TOKENS:
            del self._expiries[next(iter(self._expiries))]
        token = secrets.token_urlsafe(24)
        self._expiries[token] = now_ns + self.life_s * NS_PER_S
        return token

    def is_good(self, token: str, now_ns: int) -> bool:
        """Whether a request with this token is let in."""
        if self.ready is not None and hmac.compare_digest(self.ready.encode(), token.encode()):
            return True
        return now_ns < self._expiries.get(token, 0)

    def revoke(self, token: str) -> None:
        """Let nobody in with this token any more, the ready one included."""
        self._expiries.pop(token, None)
        if self.ready == token:
            self.ready = None


def outcome_as_json(outcome_id: str, outcomes: Mapping[str, str] = OUTCOMES) -> Json:
    """A call outcome in the shape of the published answer."""
    return _named(outcome_id, outcomes[outcome_id])


def outcomes_with(more: Iterable[str]) -> Mapping[str, str]:
    """
    The outcomes of the account by id, with more of them: names, or `ID=NAME`, which renames the one
    that has the id. Ids of names are made up, and are none of those that are given.
    """
    outcomes = dict(OUTCOMES)
    names = []
    for text in more:
        outcome_id, equals, name = text.partition("=")
        if equals and outcome_id.isdecimal():
            outcomes[outcome_id] = name
        else:
            names.append(text)
    known = {name.casefold() for name in outcomes.values()}
    number = FIRST_MORE + len(outcomes)
    for name in names:
        if name.casefold() in known:
            continue
        known.add(name.casefold())
        while str(number) in outcomes:
            number += 1
        outcomes[str(number)] = name
    return outcomes


def moment(now_ns: int) -> str:
    """A time as Buildr writes it: UTC, whole seconds, `Z`."""
    return datetime.fromtimestamp(now_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seed(number: int) -> HeldCall:
    # Call 110 is filed as in the published example: company 101, contact 418, project 129.
    place = (number - 110) % 4
    company_id = list(COMPANIES)[place]
    project_id = list(PROJECTS)[place]
    contact_id = str(FIRST_CONTACT + place)
    return HeldCall(
        id=str(number),
        created_at=MADE_AT,
        updated_at=MADE_AT,
        company_id=company_id,
        contact_id=contact_id,
        project_id=project_id,
    )


def _named(record_id: str, name: str) -> Json:
    return {"id": record_id, "created_at": MADE_AT, "updated_at": MADE_AT, "name": name}


def company_as_json(company_id: str) -> Json:
    """A company in the shape of the published answer."""
    return {
        **_named(company_id, COMPANIES.get(company_id, f"Company {company_id}")),
        "website": f"https://company-{company_id}.example.com",
    }


def person_as_json(person_id: str, first_name: str, last_name: str) -> Json:
    """A contact or user in the shape in which a call shows them."""
    name = f"{first_name} {last_name}"
    return {
        "id": person_id,
        "created_at": MADE_AT,
        "updated_at": MADE_AT,
        "first_name": first_name,
        "last_name": last_name,
        "name": name,
        "email": f"{name.lower().replace(' ', '.')}@example.com",
    }
