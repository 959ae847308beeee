"""
The console where something in Redis cannot be read: no page ends with an error of the server.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import pytest
from redis import Redis

from tests.service.store.damaged_keys import OF_TYPE, damage
from tests.workers.console.harness import FAILED, UNMATCHED, Browser
from workers.console.parts import PAGES as MENU

PAGES: Final = (
    *(name for name, _ in MENU),
    f"call?ref={UNMATCHED}",
    f"call?ref={FAILED}",
    "metrics",
)


@pytest.mark.parametrize("kinds", OF_TYPE, ids=["hash", "string", "sorted_set", "list", "set"])
async def test_every_page_is_shown(
    operator: Browser, redis_url: str, kinds: Mapping[str, str]
) -> None:
    """Whatever is damaged, one kind of key at a time."""
    with Redis.from_url(redis_url) as redis:
        before = {key: redis.dump(key) for key in redis.scan_iter()}
        for kind in kinds:
            damage(redis, kind, ref=UNMATCHED)
            for path in PAGES:
                response = await operator.load(f"/default/{path}")
                assert response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, (kind, path)
            redis.flushdb()
            for key, stored in before.items():
                redis.restore(key, 0, stored)
