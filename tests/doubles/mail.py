"""
A mail server on a free port of this machine, over TLS or in the clear.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER: Final = "alerts@example.com"
PASSWORD: Final = "fake-mail-password"
Tls = Literal["starttls", "smtps", "none"]


@dataclass
class Mailbox:
    """What was received; `answer` is what the server says to a message."""

    port: int = 0
    answer: str = "250 OK"
    mails: list[Envelope] = field(default_factory=list)
    users: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message."""
        self.mails.append(envelope)
        return self.answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: object
    ) -> AuthResult:
        """Let one user in."""
        assert isinstance(login, LoginPassword)
        self.users.append(login.login)
        return AuthResult(success=login.password == PASSWORD.encode(), handled=False)


@asynccontextmanager
async def mail_server(tls: Tls, context: ssl.SSLContext | None = None) -> AsyncIterator[Mailbox]:
    """Serve one until the end of the block."""
    mailbox = Mailbox()
    contexts = {tls: context}

    def protocol() -> SMTP:
        return SMTP(
            mailbox,
            tls_context=contexts.get("starttls"),
            require_starttls=tls == "starttls",
            authenticator=mailbox.authenticate,
            auth_require_tls=tls == "starttls",
            hostname="mail.test",
        )

    server = await asyncio.get_running_loop().create_server(
        protocol, "127.0.0.1", 0, ssl=contexts.get("smtps")
    )
    mailbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mailbox
