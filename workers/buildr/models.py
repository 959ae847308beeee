"""
What Buildr answers, as far as its reference says:
https://buildr.dev/api-reference/call/update-call.

Reading is more lenient than the reference: any field but an id may be missing or null, unknown
fields are kept, and a time that cannot be read is None. The PATCH has been made by then, and
sending it again would not give another answer.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from service.errors import BuildrUnavailable

BETA_ENVELOPE: Final = "item"
ENVELOPES: Final = ("call", BETA_ENVELOPE)
BETA_LIST: Final = "items"
LISTS: Final = ("call_outcomes", BETA_LIST)


def _or_none(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError:
        return None


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[
    Annotated[AwareDatetime, AfterValidator(_to_utc)] | None, WrapValidator(_or_none)
]


class _Record(BaseModel):
    # Numbers are taken for ids: the reference shows strings, and an id that came as a number would
    # make a PATCH fail that Buildr has made.
    model_config = ConfigDict(
        extra="allow", frozen=True, coerce_numbers_to_str=True, defer_build=True
    )

    id: str
    created_at: Moment = None
    updated_at: Moment = None


class CallOutcome(_Record):
    """A call outcome of the account, for example the one named `Connected`."""

    name: str


class Company(_Record):
    """The company that a call is filed under."""

    name: str | None = None
    website: str | None = None


class Person(_Record):
    """A contact, or the user who made the call."""

    first_name: str | None = None
    last_name: str | None = None
    name: str | None = None
    email: str | None = None


class Project(_Record):
    """The project that a call is filed under."""

    name: str | None = None


class UpdatedCall(_Record):
    """A call as Buildr holds it after an update; times are UTC."""

    notes: str | None = None
    recorded_at: Moment = None
    call_outcome: CallOutcome | None = None
    company: Company | None = None
    contact: Person | None = None
    created_by: Person | None = None
    project: Project | None = None

    @property
    def has_notes(self) -> bool:
        """
        Whether the answer contains notes at all; without them it is unknown what people wrote.
        """
        # Not `notes is None`: null means that the notes are empty, and may be written to.
        return "notes" in self.model_fields_set

    @property
    def has_outcome(self) -> bool:
        """Whether the answer contains the outcome at all."""
        return self.shows("call_outcome")

    def shows(self, name: str) -> bool:
        """Whether the answer contains a field at all, such as `contact`; it may be null."""
        return name in self.model_fields_set


# Built at their first use: few commands read an answer of Buildr.
_DEFERRED: Final = ConfigDict(defer_build=True)
_CONTACTS: Final = TypeAdapter(tuple[Mapping[str, object], ...], config=_DEFERRED)
_OUTCOMES: Final = TypeAdapter(tuple[CallOutcome, ...], config=_DEFERRED)


def read_call(answer: object, buildr_call_id: str) -> UpdatedCall:
    """
    Read the answer to an update, under the key `call` or, as in Buildr's beta version, `item`.

    Raises `BuildrUnavailable` if it is no call or a call other than the one that was asked for.
    """
    try:
        call = UpdatedCall.model_validate(_under(answer, ENVELOPES))
    except ValidationError as err:
        raise BuildrUnavailable(
            f"Buildr answered with something that is no call ({_places(err)}): check BUILDR_API_URL"
        ) from err
    # Zeros in front of an id are the operator's: Buildr answers without them.
    if call.id.lstrip("0") != buildr_call_id.lstrip("0"):
        raise BuildrUnavailable("Buildr answered with a call that was not asked for")
    return call


def read_outcomes(answer: object) -> tuple[CallOutcome, ...]:
    """
    Read one page of call outcomes, under the key `call_outcomes` or `items`. Raises
    `BuildrUnavailable` if it is none.
    """
    try:
        return _OUTCOMES.validate_python(_under(answer, LISTS))
    except ValidationError as err:
        raise BuildrUnavailable(
            f"Buildr answered with something that is no list of call outcomes ({_places(err)})"
        ) from err


def read_contacts(answer: object, key: str) -> tuple[Mapping[str, object], ...]:
    """
    Read one page of contacts, under a key or `items`; their fields are those of Buildr. Raises
    `BuildrUnavailable` if it is none.
    """
    try:
        return _CONTACTS.validate_python(_under(answer, (key, BETA_LIST)))
    except ValidationError as err:
        raise BuildrUnavailable(
            f"Buildr answered with something that is no list of contacts ({_places(err)}): "
            "check BUILDR_CONTACTS_PATH and BUILDR_CONTACTS_KEY"
        ) from err


def read_contact(answer: object) -> Mapping[str, object]:
    """
    Read a contact, under the key `contact` or `item`. Raises `BuildrUnavailable` if it is none.
    """
    contact = _under(answer, ("contact", BETA_ENVELOPE))
    if not isinstance(contact, dict):
        raise BuildrUnavailable(
            "Buildr answered with something that is no contact: check BUILDR_CONTACTS_PATH"
        )
    return contact


def _under(answer: object, keys: tuple[str, ...]) -> object:
    if not isinstance(answer, dict):
        return None
    return next((answer[key] for key in keys if key in answer), None)


def _places(err: ValidationError) -> str:
    """The paths of the faults, never their values: an answer holds names and notes."""
    return ", ".join(
        sorted({".".join(map(str, fault["loc"])) or "the whole" for fault in err.errors()})[:5]
    )
