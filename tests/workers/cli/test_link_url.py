"""
link-url: the address of Buildr's own webhooks.
"""

import json

from service.webhook_urls import path_token
from tests.workers.cli.conftest import Run

SECRET = "url-secret-of-the-tests-0123456789"


def test_address_of_buildrs_webhooks(run: Run) -> None:
    """It holds a token that is made of the newest URL secret."""
    environment = {"PUBLIC_URL": "https://calls.example.test", "URL_SECRET": f"{SECRET},{'x' * 32}"}
    address = f"https://calls.example.test/webhooks/buildr/t/{path_token(SECRET, 'buildr')}"
    assert f"{address}\n" == run("link-url", "buildr", **environment).stdout
    printed = json.loads(run("link-url", "buildr", "--json", **environment).stdout)
    assert address == printed["address"]


def test_address_needs_a_secret_and_no_call(run: Run) -> None:
    """Without a secret there is no address, and it is about no call."""
    assert "set URL_SECRET" in run("link-url", "buildr", code=1).stderr
    stderr = run("link-url", "buildr", "110", code=2, URL_SECRET=SECRET).stderr
    assert "leave BUILDR_CALL_ID out" in stderr
