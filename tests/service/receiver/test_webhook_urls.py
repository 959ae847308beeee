"""
The endpoint and what is in an address: path tokens, ids that our own signature proves, and
secrets that are never kept.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
import pytest
import structlog
from msgspec.structs import replace
from structlog.testing import capture_logs

from service.errors import InvalidSignature
from service.events import CallEvent
from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.sources import (
    MessageKeys,
    Reply,
    RetryPolicy,
    Secrets,
    Source,
    WebhookRequest,
)
from service.store.connection import Store
from service.store.messages import message_id
from service.webhook_urls import id_signature, path_token
from tests.conftest import STANDARD_SECRET

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
OLD = "fake-url-secret-of-last-year-0000000"
NEW = "fake-url-secret-of-this-year-0000000"
JSON = {"content-type": "application/json"}
Post = Callable[..., Awaitable[httpx.Response]]


class Weak(Source):
    """
    A source whose only proof is a secret in its body, as `token=...;`, and whose handshake has an
    answer in a header.
    """

    slug = "standard"
    title = "Weak"
    settings = ()
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(60,))
    proof = "a secret in the body"
    requires_path_token = True
    challenge = 'Basic realm="test"'

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """Give the challenge back."""
        challenge = request.header("x-challenge")
        if challenge is None:
            return None
        return Reply(200, headers={"x-challenge": challenge})

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Look for the secret."""
        if not any(f"token={secret};".encode() in request.body for secret in secrets.values):
            raise InvalidSignature("no token")

    def redact(self, request: WebhookRequest) -> WebhookRequest:
        """Take the secret out."""
        return replace(request, body=request.body.partition(b";")[2])

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """The rest of the body is the key."""
        return MessageKeys(request.body.decode(), "CA1")

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """Not used by the receiver."""
        raise NotImplementedError

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """Not used by the receiver."""
        raise NotImplementedError


@pytest.fixture
def post(store: Store, redis_url: str, make_settings: Callable[..., Settings]) -> Post:
    """
    Send a request to a receiver that knows the source under two names, once with tokens and once
    without.
    """

    class Plain(Weak):
        requires_path_token = False

    settings = make_settings(
        REDIS_URL=redis_url,
        URL_SECRET=f"{NEW},{OLD}",
        STANDARD_SECRET=STANDARD_SECRET,
        TWILIO_AUTH_TOKEN="fake-token-of-the-tests",
    )

    async def post(
        path: str,
        body: str = "",
        headers: dict[str, str] | None = None,
        *,
        wants_token: bool = True,
        method: str = "POST",
    ) -> httpx.Response:
        source = Weak() if wants_token else Plain()
        app = create_app(
            Installation(settings), store=store, now=lambda: NOW, sources={"standard": source}
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://inner.example.test"
        ) as client:
            return await client.request(
                method,
                path,
                content=body or f"token={STANDARD_SECRET};one",
                headers=JSON | (headers or {}),
            )

    return post


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_address_with_its_token_is_let_in(post: Post, store: Store, secret: str) -> None:
    """
    Either secret's token counts, and what is kept holds neither the token nor the secret of the
    body.
    """
    assert 200 == (await post(f"/webhooks/standard/t/{path_token(secret, 'standard')}")).status_code
    stored = await store.messages.get(message_id("standard", "one"))
    assert stored is not None
    assert (b"one", "https://hooks.example.test/webhooks/standard") == (
        stored.request.body,
        stored.request.url,
    )


@pytest.mark.parametrize(
    "end",
    [
        "",
        "/t/",
        "/t/0123",
        f"/t/{path_token(NEW, 'twilio')}",
        f"/t/{path_token(NEW, 'standard')}/x",
    ],
)
async def test_address_without_its_token_is_not_there(post: Post, store: Store, end: str) -> None:
    """
    Even a message that is genuine otherwise hears no more than that there is nothing at this
    address.
    """
    answer = await post(f"/webhooks/standard{end}")
    assert 404 == answer.status_code
    assert await store.messages.get(message_id("standard", "one")) is None
    assert 404 == (await post(f"/webhooks/standard{end}", headers={"x-challenge": "1"})).status_code


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS"])
async def test_other_methods_do_not_tell_that_there_is_a_source(post: Post, method: str) -> None:
    """Without the token the path is unknown for any method; with it the right method is named."""
    assert 404 == (await post("/webhooks/standard", method=method)).status_code
    assert (
        405
        == (
            await post(f"/webhooks/standard/t/{path_token(NEW, 'standard')}", method=method)
        ).status_code
    )


@pytest.mark.parametrize("path", ["/webhooks/standard/%74/{}", "/webhooks/standard%2Ft%2F{}"])
async def test_token_is_not_kept_in_another_spelling(post: Post, store: Store, path: str) -> None:
    """
    A letter that is written with a percent sign leads to the same source, and its token is left out
    all the same.
    """
    token = path_token(NEW, "standard")
    assert 200 == (await post(path.format(token))).status_code
    stored = await store.messages.get(message_id("standard", "one"))
    assert stored is not None
    assert "https://hooks.example.test/webhooks/standard" == stored.request.url


async def test_wrong_token_is_refused_where_none_is_wanted(post: Post) -> None:
    """A source that wants no token may be given its own, and no other."""
    assert (
        200
        == (
            await post(f"/webhooks/standard/t/{path_token(NEW, 'standard')}", wants_token=False)
        ).status_code
    )
    assert 404 == (await post("/webhooks/standard/t/0123", wants_token=False)).status_code
    assert 200 == (await post("/webhooks/standard", wants_token=False)).status_code


async def test_no_log_line_holds_a_token(post: Post) -> None:
    """Neither a message that is taken nor one that is refused puts its address into the log."""
    token = path_token(NEW, "standard")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await post(f"/webhooks/standard/t/{token}?buildr_call_id=110&buildr_sig=wrong")
        await post(f"/webhooks/standard/t/{token}", "token=wrong;")
        await post(f"/webhooks/standard/t/{token[:-1]}")
    assert {"message.id_not_proved", "message.accepted", "message.rejected"} <= {
        entry["event"] for entry in logs
    }
    assert not [
        entry for entry in logs if token[:-1] in str(entry) or STANDARD_SECRET in str(entry)
    ]


@pytest.mark.parametrize(
    ("signature", "buildr_call_id"),
    [(id_signature(OLD, "standard", "110"), "110"), ("0" * 32, None)],
)
async def test_id_in_the_address_is_kept_only_if_proved(
    post: Post, store: Store, signature: str, buildr_call_id: str | None
) -> None:
    """
    The message counts either way; the id does only with our signature, which itself is not kept.
    """
    url = f"/webhooks/standard?buildr_call_id=110&buildr_sig={signature}"
    assert 200 == (await post(url, wants_token=False)).status_code
    stored = await store.messages.get(message_id("standard", "one"))
    assert stored is not None
    assert buildr_call_id == stored.request.buildr_call_id
    assert "https://hooks.example.test/webhooks/standard?buildr_call_id=110" == stored.request.url


async def test_handshake_is_answered_and_remembered(post: Post, store: Store) -> None:
    """Its answer may lie in a header; when it came can be looked up."""
    answer = await post(
        f"/webhooks/standard/t/{path_token(NEW, 'standard')}", headers={"x-challenge": "abc"}
    )
    assert (200, "abc", b"") == (answer.status_code, answer.headers["x-challenge"], answer.content)
    assert [("handshake", "standard")] == list(await store.source_activity.last())


async def test_source_asks_for_credentials_in_its_own_words(post: Post) -> None:
    """A vendor that waits for a challenge before it sends its credentials gets one."""
    answer = await post("/webhooks/standard", "token=wrong;", wants_token=False)
    assert (401, 'Basic realm="test"') == (answer.status_code, answer.headers["www-authenticate"])


async def test_messages_are_counted_by_hour(post: Post, store: Store) -> None:
    """What was accepted counts once as source activity, however often it comes."""
    for _ in range(2):
        await post("/webhooks/standard", wants_token=False)
    await post("/webhooks/standard", f"token={STANDARD_SECRET};two", wants_token=False)
    assert [2] == list((await store.source_activity.hours("standard")).values())
    assert ("message", "standard") in await store.source_activity.last()
