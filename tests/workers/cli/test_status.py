"""
`status`: accounts side by side, and the clock of Redis.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from redis import Redis

Run = Callable[..., Result]
AWAY = """
[accounts.acme]
buildr_access_token = "other-token-of-the-tests"
redis_url = "redis://:hunter2@127.0.0.1:1/0"
"""


def test_an_account_without_redis_hides_no_other(run: Run, tmp_path: Path) -> None:
    """Its column and its object say why, a line what to do, and the exit code is 1."""
    (tmp_path / "buildr-calls.toml").write_text(AWAY, encoding="utf-8")
    table = run("status", "--all-accounts", code=1)
    assert "Redis does not answer" in table.stdout
    assert "workers alive" in table.stdout
    lines = table.stderr.splitlines()
    assert ["buildr-calls: account acme: Redis does not answer at 127.0.0.1:1"] == [
        line.partition(": start")[0] for line in lines
    ]
    default, acme = json.loads(run("status", "--all-accounts", "--json", code=1).stdout)
    assert (None, 0) == (default["error"], default["workers_alive"])
    assert ({"account", "error", "spool"}, "acme") == (set(acme), acme["account"])
    assert acme["error"].startswith("Redis does not answer at 127.0.0.1:1")
    assert "hunter2" not in table.output + acme["error"]
    assert "Redis does not answer" in run("status", "--account", "acme", code=1).stderr


def test_status_says_until_when_the_clock_is_ahead(run: Run, redis_url: str) -> None:
    """After a step back of 600 s it takes 6000 s until the service agrees with Redis."""
    last_ms = int(time.time() * 1000) + 600_000
    with Redis.from_url(redis_url) as client:
        client.hset("bc:default:clock", mapping={"last": last_ms, "offset": 600_000})
    facts = json.loads(run("status", "--json").stdout)
    assert round(facts["redis_clock_set_back_s"] * 10, 1) == facts["redis_clock_agrees_in_s"]
    assert 0 < facts["redis_clock_set_back_s"] <= 600
    assert "was set back; the service is " in run("status").stdout
