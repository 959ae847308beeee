"""
Sessions of the console: a signed cookie, and the token that each of its forms holds.

Nothing is stored of a session but its early end. The key of a signature is made of the token that
opened the session, so that a token that is withdrawn ends its sessions.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from msgspec import Struct

from service.settings import Settings

COOKIE: Final = "buildr_calls_console"
# Of a browser that has not logged in yet, so that the log-in form has a token too.
VISITOR_COOKIE: Final = "buildr_calls_visitor"
# A working day, with its breaks.
LASTS: Final = timedelta(hours=12)
VERSION: Final = "1"
SHOWN_ID: Final = 8


class Role(StrEnum):
    """What a session may do: `operator` everything, `reader` look."""

    OPERATOR = "operator"
    READER = "reader"


class Session(Struct, frozen=True):
    """One log-in: its id, what it may do, and when it ends (UTC)."""

    session_id: str
    role: Role
    ends_at: datetime

    @property
    def is_operator(self) -> bool:
        """Whether it may change things."""
        return self.role is Role.OPERATOR

    @property
    def shown_id(self) -> str:
        """Enough of the id to tell sessions apart, and too little to be one."""
        return self.session_id[:SHOWN_ID]


class Sessions(Struct, frozen=True):
    """Opens, signs and checks sessions; `tokens` are those of each role, newest first."""

    tokens: tuple[tuple[Role, str], ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The tokens of the settings."""
        operators = [(Role.OPERATOR, token.get_secret_value()) for token in settings.console_token]
        readers = [(Role.READER, token.get_secret_value()) for token in settings.console_read_token]
        return cls((*operators, *readers))

    def role_of(self, token: str) -> tuple[Role, str] | None:
        """The role that a token opens, and the token; every valid one is compared."""
        digest = hashlib.sha256(token.encode()).digest()
        # A list: a generator would stop at the first that fits, and show by its time which one.
        matches = [
            (role, valid_token)
            for role, valid_token in self.tokens
            if hmac.compare_digest(hashlib.sha256(valid_token.encode()).digest(), digest)
        ]
        if not matches:
            return None
        return matches[0]

    def open(self, role: Role, token: str, now: datetime) -> tuple[Session, str]:
        """A new session of a role, and the value of its cookie."""
        session = Session(secrets.token_hex(16), role, (now + LASTS).replace(microsecond=0))
        text = f"{VERSION}.{role.value}.{int(session.ends_at.timestamp())}.{session.session_id}"
        return session, f"{text}.{_sign(token, text)}"

    def read(self, cookie: str, now: datetime) -> Session | None:
        """The session of a cookie; None if it is over, changed, or its token is withdrawn."""
        text, _, signature = cookie.rpartition(".")
        role_name = text.split(".")[1:2]
        tokens = [token for role, token in self.tokens if [role.value] == role_name]
        signatures = [_sign(token, text) for token in tokens]
        matches = [hmac.compare_digest(valid.encode(), signature.encode()) for valid in signatures]
        if not any(matches):
            return None
        # Only what was signed here is read.
        version, role_text, ends, session_id = text.split(".")
        ends_at = datetime.fromtimestamp(int(ends), UTC)
        if version != VERSION or now >= ends_at:
            return None
        return Session(session_id, Role(role_text), ends_at)

    def form_token(self, browser_id: str) -> str:
        """
        What the forms of a session, or of a browser that has none yet, must hold: no other site can
        know it.
        """
        return next(self._form_tokens(browser_id))

    def is_form_token(self, browser_id: str, token: str) -> bool:
        """Whether a form is one of ours."""
        matches = [
            hmac.compare_digest(valid.encode(), token.encode())
            for valid in self._form_tokens(browser_id)
        ]
        return any(matches)

    def _form_tokens(self, browser_id: str) -> Iterator[str]:
        for _, token in self.tokens:
            yield _sign(token, f"form.{browser_id}")


def _sign(token: str, text: str) -> str:
    key = hashlib.sha256(b"buildr-calls console\0" + token.encode()).digest()
    return hmac.digest(key, text.encode(), "sha256").hex()
