"""
Buildr's access token in Redis: encrypted, and readable by whoever has the client secret.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.token_box import TokenBox
from service.store.tokens import StoredToken

SECRET = "client-secret-of-the-tests"
NOW = datetime.now(UTC).replace(microsecond=0)
TOKEN = StoredToken(
    access_token="token-in-the-clear", expires_at=NOW + timedelta(hours=1), obtained_at=NOW
)
MakeSettings = Callable[..., Settings]


def _store(make_settings: MakeSettings, redis_url: str, secret: str) -> Store:
    settings = make_settings(
        REDIS_URL=redis_url, BUILDR_CLIENT_ID="client", BUILDR_CLIENT_SECRET=secret
    )
    return open_store(settings, role="cli")


async def test_token_is_shared_and_not_in_the_clear(
    make_settings: MakeSettings, redis_url: str
) -> None:
    """Another process with the same client secret reads it; in Redis nobody else does."""
    async with _store(make_settings, redis_url, SECRET) as one:
        await one.tokens.save(TOKEN)
        raw = await one.redis.get(one.keys.named("sealed_token")) or b""
        assert b"token-in-the-clear" not in raw
        async with _store(make_settings, redis_url, SECRET) as two:
            assert TOKEN == await two.tokens.load()
        # After a rotation of the client secret, a new one is requested.
        async with _store(make_settings, redis_url, "another-secret-of-the-tests") as other:
            assert await other.tokens.load() is None


async def test_token_of_a_version_before_is_read_once_more(
    make_settings: MakeSettings, redis_url: str
) -> None:
    """An upgrade costs no new token, and the next one is encrypted only."""
    async with _store(make_settings, redis_url, SECRET) as store:
        plain = TypeAdapter(StoredToken).dump_json(TOKEN)
        await store.redis.set(store.keys.named("token"), plain)
        assert TOKEN == await store.tokens.load()
        await store.tokens.save(TOKEN)
        assert await store.redis.get(store.keys.named("token")) is None
        await store.tokens.drop(TOKEN.access_token)
        assert await store.tokens.load() is None


def test_damaged_token_is_none() -> None:
    """Whatever is in its place in Redis: a new one is requested."""
    box = TokenBox.of(SECRET)
    sealed = box.seal(b"text")
    assert b"text" == box.open(sealed)
    assert sealed != box.seal(b"text")
    for damaged in (b"", b"{}", sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        assert box.open(damaged) is None
    assert TokenBox.of(None).open(sealed) is None
    assert SECRET not in repr(box)
