"""
TLS to Redis, and what Redis has to confirm beside its own answer, against a real server.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import QueueUnavailable, SettingsError
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Settings
from service.store.connection import open_store
from service.store.redis_trouble import RedisTrouble
from tests.doubles.messages import webhook_message
from tests.doubles.redis import RedisServer
from tests.doubles.tls import make_authority, tls_before

MakeSettings = Callable[..., Settings]
# The first version of Redis that has WAITAOF.
WITH_WAITAOF = (7, 2)


async def trouble_of(settings: Settings) -> str | None:
    """Why Redis takes no writes; None if it does."""
    async with open_store(settings, role="receiver") as store:
        try:
            await store.check_writes()
        except QueueUnavailable as err:
            return str(err)
    return None


@pytest.mark.anyio
async def test_tls_with_an_authority_of_ones_own(
    own_redis: RedisServer, tmp_path: Path, make_settings: MakeSettings
) -> None:
    """A Redis behind TLS is reached if its authority is named, and its certificate is for it."""
    refused = RedisTrouble.CERTIFICATE.text
    wrong, _ = make_authority(tmp_path, "wrong")
    with tls_before(own_redis.socket, tmp_path) as server:
        right = server.url(ssl_ca_certs=server.authority)
        assert await trouble_of(make_settings(REDIS_URL=right)) is None
        for url in (server.url(), server.url(ssl_ca_certs=wrong)):
            assert refused == await trouble_of(make_settings(REDIS_URL=url))
        taken_as_it_is = server.url(ssl_cert_reqs="none")
        assert await trouble_of(make_settings(REDIS_URL=taken_as_it_is)) is None
    with tls_before(own_redis.socket, tmp_path, host="127.0.0.2") as server:
        other = server.url(ssl_ca_certs=server.authority)
        assert refused == await trouble_of(make_settings(REDIS_URL=other))
        unchecked = server.url(ssl_ca_certs=server.authority, ssl_check_hostname="false")
        assert await trouble_of(make_settings(REDIS_URL=unchecked)) is None


def test_a_file_that_is_missing_is_named(make_settings: MakeSettings) -> None:
    """A file of certificates that is not there is a fault of the settings, and no Redis away."""
    with pytest.raises(SettingsError, match="REDIS_URL: ssl_ca_certs names no file"):
        make_settings(REDIS_URL="rediss://h/0?ssl_ca_certs=/none.pem")


@pytest.mark.anyio
async def test_writes_are_confirmed_on_the_disk(
    own_redis: RedisServer, make_settings: MakeSettings
) -> None:
    """
    With `REDIS_WAIT=aof` a message is taken once the append-only file has it; where there is none,
    or too few replicas, it is not.
    """
    own_redis.kill()
    own_redis.start(appendfsync="everysec")
    limits = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=9, accept_timeout_s=10)
    settings = make_settings(REDIS_URL=own_redis.url, REDIS_WAIT="aof")
    async with open_store(settings, role="receiver") as store:
        version = str((await store.redis.info("server"))["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < WITH_WAITAOF:
            pytest.skip(f"Redis {version} has no WAITAOF")
        inbox = Inbox(store, limits)
        assert await inbox.accept(webhook_message("a"))
        await store.pool.config_set("appendonly", "no")
        with pytest.raises(QueueUnavailable):
            await inbox.accept(webhook_message("b"))
        assert RedisTrouble.DISK.text == inbox.trouble
        await inbox.close()
    settings = make_settings(REDIS_URL=own_redis.url, REDIS_WAIT="replicas:1")
    async with open_store(settings, role="receiver") as store:
        inbox = Inbox(store, limits)
        with pytest.raises(QueueUnavailable):
            await inbox.accept(webhook_message("c"))
        assert RedisTrouble.REPLICAS.text == inbox.trouble
        await inbox.close()
