"""
Where alerts go: a webhook of Slack's form, and e-mail.

A channel sends or raises `AlertNotSent`, within `SEND_TIMEOUT_S`, and never quotes its address.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http import HTTPStatus
from threading import Thread
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from service.errors import BuildrUnavailable
from service.settings import Settings
from service.sources.common.setting_checks import is_loopback
from workers.alerts.messages import AlertMessage
from workers.http_client import fetch, open_http

SEND_TIMEOUT_S: Final = 15.0
# Of each step of the talk to a mail server; all of them together have `SEND_TIMEOUT_S`.
SMTP_STEP_S: Final = 10.0
# The webhook is gone, or takes nothing from us: https://api.slack.com/messaging/webhooks.
REFUSALS: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.GONE,
    }
)
SMTP_PORT: Final = 587
FIRST_FINAL_CODE: Final = 500
SMTPS_PORT: Final = 465


class AlertNotSent(Exception):
    """
    A channel has not taken a message. Its text is for the log: no secret, no address of a webhook.
    `is_refused` if trying again changes nothing before an operator does.
    """

    def __init__(self, reason: str, *, is_refused: bool = False) -> None:
        super().__init__(reason)
        self.is_refused: Final = is_refused


class Channel(Protocol):
    """One way to send alerts."""

    @property
    def name(self) -> str:
        """Its name in logs, and in the state of an alert."""

    async def send(self, message: AlertMessage) -> None:
        """Send a message. Raises `AlertNotSent`."""


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """The channels that are set."""
    channels: list[Channel] = []
    if settings.alerts_slack_url is not None:
        channels.append(SlackChannel(settings.alerts_slack_url.get_secret_value()))
    if settings.alerts_email_to and settings.alerts_smtp_url is not None:
        channels.append(
            EmailChannel(
                server_url=settings.alerts_smtp_url.get_secret_value(),
                sender=settings.alerts_email_from or settings.alerts_email_to[0],
                recipients=settings.alerts_email_to,
            )
        )
    return tuple(channels)


@dataclass(frozen=True, slots=True)
class SlackChannel:
    """An incoming webhook: https://api.slack.com/messaging/webhooks."""

    url: str = field(repr=False)
    name: str = "slack"
    timeout_s: float = SEND_TIMEOUT_S

    async def send(self, message: AlertMessage) -> None:
        """Send a message. Raises `AlertNotSent`."""
        # Opened for each message: they are few, and a server closes an idle connection long before
        # the next one.
        async with open_http(self.url, timeout_s=self.timeout_s) as http:
            request = http.build_request("POST", self.url, json={"text": _slack_text(message)})
            try:
                # In all: a server that sends a byte now and then would run into no other limit.
                async with asyncio.timeout(self.timeout_s):
                    answer = await fetch(http, request)
            except TimeoutError as err:
                raise AlertNotSent(f"no answer within {self.timeout_s:g} s") from err
            except BuildrUnavailable as err:
                raise AlertNotSent(str(err)) from err
        if not answer.is_success:
            # Not its body: a server that is not Slack's may repeat what it was sent, path included.
            raise AlertNotSent(
                f"answered {answer.status_code}", is_refused=answer.status_code in REFUSALS
            )


def _is_final(smtp_code: int) -> bool:
    """Whether an answer stays so; 4xx pass, such as greylisting: RFC 5321, section 4.2.1."""
    return smtp_code >= FIRST_FINAL_CODE


def _slack_text(message: AlertMessage) -> str:
    # The three characters that Slack gives a meaning to:
    # https://api.slack.com/reference/surfaces/formatting#escaping
    text = message.text
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return text


@dataclass(slots=True, kw_only=True)
class EmailChannel:
    """E-mail by a mail server, over TLS unless the server is this machine."""

    server_url: str = field(repr=False)
    sender: str
    recipients: Sequence[str]
    name: str = "email"
    timeout_s: float = SEND_TIMEOUT_S
    context: ssl.SSLContext | None = None
    _thread: Thread | None = None

    async def send(self, message: AlertMessage) -> None:
        """Send a message. Raises `AlertNotSent`."""
        if self._thread is not None and self._thread.is_alive():
            raise AlertNotSent("the mail server has not ended the talk before")
        mail = self._mail(message)
        future: Future[None] = Future()
        # A thread of its own and a daemon: a server that hangs holds neither the event loop, nor
        # its pool of threads, nor the end of the process.
        self._thread = Thread(target=self._talk, args=(mail, future), daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(self.timeout_s):
                await asyncio.wrap_future(future)
        except TimeoutError as err:
            raise AlertNotSent(f"no answer within {self.timeout_s:g} s") from err
        except smtplib.SMTPAuthenticationError as err:
            raise AlertNotSent(
                "refuses user and password", is_refused=_is_final(err.smtp_code)
            ) from err
        except smtplib.SMTPResponseException as err:
            # Its text may repeat an address.
            raise AlertNotSent(
                f"answered {err.smtp_code}", is_refused=_is_final(err.smtp_code)
            ) from err
        except smtplib.SMTPRecipientsRefused as err:
            codes = [code for code, _ in err.recipients.values()]
            raise AlertNotSent(
                "refuses the recipients", is_refused=any(map(_is_final, codes))
            ) from err
        except (smtplib.SMTPException, OSError, ValueError) as err:
            raise AlertNotSent(f"no answer of the mail server ({type(err).__name__})") from err

    def join(self) -> None:
        """Wait until the talk that goes on has ended, for at most `SMTP_STEP_S`."""
        if self._thread is not None:
            self._thread.join(SMTP_STEP_S)

    def _mail(self, message: AlertMessage) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        # So that no absence note answers: RFC 3834.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text + "\n")
        return mail

    def _talk(self, mail: EmailMessage, future: "Future[None]") -> None:
        future.set_running_or_notify_cancel()
        try:
            self._deliver(mail)
        except (smtplib.SMTPException, OSError, ValueError) as err:
            future.set_exception(err)
        else:
            future.set_result(None)

    def _deliver(self, mail: EmailMessage) -> None:
        parts = urlsplit(self.server_url)
        host = parts.hostname or ""
        context = self.context or ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, parts.port or SMTPS_PORT, timeout=SMTP_STEP_S, context=context
            )
        else:
            server = smtplib.SMTP(host, parts.port or SMTP_PORT, timeout=SMTP_STEP_S)
        with server:
            server.ehlo()
            if parts.scheme == "smtp" and (server.has_extn("starttls") or not is_loopback(host)):
                # Raises where the server offers none: never in the clear over a network.
                server.starttls(context=context)
                server.ehlo()
            if parts.username is not None and parts.password is not None:
                server.login(unquote(parts.username), unquote(parts.password))
            server.send_message(mail)
