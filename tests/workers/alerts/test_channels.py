"""
Alerts over a real HTTP server and a real mail server, and what is logged where they fail.
"""

import asyncio
import json
import ssl
from email import message_from_bytes
from email.message import Message
from email.policy import default as policy
from pathlib import Path

import pytest

from tests.doubles.hooks import hook_server
from tests.doubles.mail import PASSWORD, USER, Mailbox, Tls, mail_server
from tests.doubles.tls import server_context
from tests.workers.alerts.facts import NOW, condition
from workers.alerts.book import Notice, NoticeKind, advance
from workers.alerts.channels import AlertNotSent, EmailChannel, SlackChannel
from workers.alerts.condition import Condition
from workers.alerts.messages import AlertMessage, message_of

MESSAGE = AlertMessage(subject="[buildr-calls] Häufung", text="Häufung <a & b>")


def _notice(kind: NoticeKind, wrong: Condition, *, account: str = "default") -> Notice:
    (alert,) = advance({}, [wrong], now=NOW).values()
    return Notice(kind=kind, account=account, alert=alert)


def test_one_alert_reads_as_a_sentence() -> None:
    """The subject says what is wrong; the text what to type."""
    message = message_of([_notice(NoticeKind.OPENED, condition())], {})
    assert "[buildr-calls] No worker is running." == message.subject
    assert message.text.splitlines() == [
        "ALERT: No worker is running.",
        "  see: buildr-calls check",
        "  runbook: docs/alerts.md#no_worker",
    ]


def test_several_are_one_message() -> None:
    """What is new comes first, numbers of telephones are masked, and long lists are cut."""
    notices = [
        _notice(NoticeKind.REMINDER, condition()),
        *(
            _notice(NoticeKind.OPENED, condition(kind="failed", subject=f"c{number}"))
            for number in range(40)
        ),
        _notice(
            NoticeKind.OPENED,
            condition(kind="unknown_values", subject="a", text="Sends +15005550006."),
        ),
    ]
    message = message_of(notices, {})
    assert "[buildr-calls] Alerts: 41 new, 1 still open" == message.subject
    shown = message.text.count("ALERT: ")
    assert f"And {42 - shown} more: buildr-calls alerts list" in message.text
    assert len(message.text) < 2000
    assert "STILL" not in message.text
    alone = message_of(notices[-1:], {})
    assert "+15005550006" not in alone.text + alone.subject
    over = message_of([_notice(NoticeKind.OVER, condition())], {})
    assert "[buildr-calls] Over: No worker is running." == over.subject
    assert "OVER after 1 min: No worker is running." == over.text


async def test_slack_gets_the_text() -> None:
    """Its three special characters are escaped."""
    with hook_server() as hook:
        await SlackChannel(hook.url).send(MESSAGE)
    assert {"text": "Häufung &lt;a &amp; b&gt;"} == json.loads(hook.bodies[0])


@pytest.mark.parametrize(("status", "is_refused"), [(404, True), (500, False), (429, False)])
async def test_slack_that_does_not_take_it(status: int, is_refused: bool) -> None:
    """The reason is the status alone: the address is a secret."""
    with hook_server() as hook:
        hook.status = status
        with pytest.raises(AlertNotSent) as caught:
            await SlackChannel(hook.url).send(MESSAGE)
    assert f"answered {status}" == str(caught.value)
    assert is_refused == caught.value.is_refused


async def test_slack_that_hangs_or_is_away() -> None:
    """It is left after its time."""
    with hook_server() as hook:
        hook.is_hanging = True
        with pytest.raises(AlertNotSent, match="no answer within"):
            await SlackChannel(hook.url, timeout_s=0.1).send(MESSAGE)
    with pytest.raises(AlertNotSent, match=r"no answer from 127\.0\.0\.1") as caught:
        await SlackChannel(hook.url).send(MESSAGE)
    assert "fake-secret" not in str(caught.value) + repr(SlackChannel(hook.url))


def _channel(mailbox: Mailbox, scheme: str, authority: Path | None, user: str) -> EmailChannel:
    return EmailChannel(
        server_url=f"{scheme}://{user}127.0.0.1:{mailbox.port}",
        sender=USER,
        recipients=("ops@example.com", "it@example.com"),
        # Without a file, the authorities of this machine.
        context=ssl.create_default_context(cafile=authority),
    )


LOGIN = f"alerts%40example.com:{PASSWORD}@"


@pytest.mark.parametrize(
    ("tls", "scheme", "user"),
    [("starttls", "smtp", LOGIN), ("smtps", "smtps", ""), ("none", "smtp", "")],
)
async def test_a_mail_arrives(tmp_path: Path, tls: Tls, scheme: str, user: str) -> None:
    """By STARTTLS with user and password, by TLS, and in the clear to this machine."""
    authority, context = server_context(tmp_path)
    async with mail_server(tls, context) as mailbox:
        await _channel(mailbox, scheme, authority, user).send(MESSAGE)
    (envelope,) = mailbox.mails
    assert ["ops@example.com", "it@example.com"] == envelope.rcpt_tos
    assert USER == envelope.mail_from
    assert isinstance(envelope.content, bytes)
    mail: Message = message_from_bytes(envelope.content, policy=policy)
    assert MESSAGE.subject == mail["Subject"]
    assert "auto-generated" == mail["Auto-Submitted"]
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert MESSAGE.text == body.decode().strip()
    assert [USER.encode()] * (user == LOGIN) == mailbox.users


async def test_a_mail_server_that_cannot_be_trusted(tmp_path: Path) -> None:
    """A certificate of somebody else: no password, no message."""
    _, context = server_context(tmp_path)
    async with mail_server("starttls", context) as mailbox:
        with pytest.raises(AlertNotSent, match="SSLCertVerificationError"):
            await _channel(mailbox, "smtp", None, LOGIN).send(MESSAGE)
    assert ([], []) == (mailbox.mails, mailbox.users)


async def test_a_mail_server_that_refuses(tmp_path: Path) -> None:
    """A wrong password, and a message that it does not take: an operator has to act."""
    authority, context = server_context(tmp_path)
    async with mail_server("starttls", context) as mailbox:
        wrong = _channel(mailbox, "smtp", authority, "alerts%40example.com:fake-wrong@")
        with pytest.raises(AlertNotSent, match="refuses user and password") as caught:
            await wrong.send(MESSAGE)
        assert caught.value.is_refused
        mailbox.answer = "554 spam of ops@example.com"
        with pytest.raises(AlertNotSent, match="answered 554") as caught:
            await _channel(mailbox, "smtp", authority, "").send(MESSAGE)
        assert caught.value.is_refused
        mailbox.answer = "451 greylisted, try again later"
        with pytest.raises(AlertNotSent, match="answered 451") as passing:
            await _channel(mailbox, "smtp", authority, "").send(MESSAGE)
        assert not passing.value.is_refused
    assert "ops@" not in str(caught.value)


async def test_a_mail_server_that_hangs() -> None:
    """It is left after its time, and no second talk begins while the first goes on."""
    connected = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        connected.set()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = EmailChannel(
        server_url=f"smtp://127.0.0.1:{port}", sender=USER, recipients=(USER,), timeout_s=0.1
    )
    with pytest.raises(AlertNotSent, match="no answer within"):
        await channel.send(MESSAGE)
    await connected.wait()
    with pytest.raises(AlertNotSent, match="has not ended the talk before"):
        await channel.send(MESSAGE)
    server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.to_thread(channel.join)
    channel.timeout_s = 20
    with pytest.raises(AlertNotSent, match="no answer of the mail server"):
        await channel.send(MESSAGE)
