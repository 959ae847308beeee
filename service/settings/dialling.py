"""
The dial page: which dialler it opens, and where the id of a call is in Buildr's addresses.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field

from service.phone_numbers import Number
from service.settings.parts import SettingsPart

NUMBER: Final = "{number}"
DIGITS: Final = "{digits}"
# What each system documents; `{number}` is E.164, `{digits}` the same without its plus.
DIALLERS: Final[Mapping[str, str]] = {
    # RFC 3966: the computer's or telephone's own choice of program.
    "tel": "tel:{number}",
    "callto": "callto:{number}",
    # https://developer.aircall.io/docs/implement-click-to-dial
    "aircall": "tel:{number}",
    # https://developers.ringcentral.com/guide/voice/uri-scheme
    "ringcentral": "rcmobile://call?number={digits}",
    # https://developers.ringcentral.com/guide/team-messaging/manual/links
    "ringcentral-web": "https://app.ringcentral.com/r/call?number={number}",
    # https://developers.zoom.us/docs/phone/outbound-call/
    "zoom": "zoomphonecall://{number}",
    # https://developers.dialpad.com/docs/app-launch-urls
    "dialpad": "dialpad://{number}",
    # https://support.openphone.com/core-concepts/integrations/deep-linking: on a mobile phone only.
    "quo-mobile": "openphone://dial?number={number}",
}
# Schemes of addresses that a browser would run or read, and not hand to a program.
FORBIDDEN: Final = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})
# An address is the text of a human: what a pattern has to search stays short.
MAX_ADDRESS: Final = 500


def _check_dialler(value: str) -> str:
    if value in DIALLERS:
        return value
    scheme = urlsplit(value).scheme
    has_place = NUMBER in value or DIGITS in value
    if not (scheme and has_place) or scheme in FORBIDDEN or not value.isprintable():
        names = ", ".join(DIALLERS)
        raise ValueError(f"must be one of {names}, or an address with {NUMBER} or {DIGITS} in it")
    return value


def _check_pattern(value: str) -> str:
    try:
        pattern = re.compile(value, re.ASCII)
    except re.error as err:
        raise ValueError(f"is no regular expression: {err}") from err
    # Named groups are written differently in a browser, where the bookmark uses it.
    if pattern.groups != 1 or pattern.groupindex:
        raise ValueError(
            "must have one group without a name, which is the id, like /calls/([0-9]+)"
        )
    return value


class DiallingSettings(SettingsPart):
    """The settings of the dial page; each account has its own."""

    dialler: Annotated[str, AfterValidator(_check_dialler)] | None = Field(
        None,
        description=(
            "What the dial page at /dial opens: tel, callto, aircall, ringcentral, "
            "ringcentral-web, zoom, dialpad, quo-mobile, or an address with {number} in it. Not "
            "set: there is no dial page."
        ),
    )
    dial_id_pattern: Annotated[str, AfterValidator(_check_pattern)] = Field(
        r"/calls?/([0-9]{1,20})",
        description=(
            "Regular expression that finds the id of a call, its one group, in the address of the "
            "call's page in Buildr."
        ),
    )

    def dialler_address(self, number: Number) -> str:
        """The address that opens the dialler with a number."""
        template = DIALLERS.get(self.dialler or "", self.dialler or DIALLERS["tel"])
        before, separator, query = template.partition("?")
        # A plus is one before the query, and a blank in it.
        query = query.replace(NUMBER, quote(number.e164, safe=""))
        address = f"{before}{separator}{query}".replace(NUMBER, number.e164)
        return address.replace(DIGITS, number.e164.removeprefix("+"))

    def buildr_call_id_in(self, text: str) -> str | None:
        """The id in the address of a call's page in Buildr, or None."""
        match = re.search(self.dial_id_pattern, text[:MAX_ADDRESS], re.ASCII)
        if match is None:
            return None
        return match[1]
