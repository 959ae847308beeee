"""
Where `trigger` and the demo send to, and what they sign.
"""

from collections.abc import Callable

import pytest

from service.settings import Settings
from service.sources import WebhookRequest
from workers.simulator.requests import local_path, local_url, signed_url


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
    ],
)
def test_receiver_that_listens_everywhere_is_reached_on_this_machine(
    host: str, expected: str, make_settings: Callable[..., Settings]
) -> None:
    """Without a public URL requests are signed for the very address that they are sent to."""
    options = make_settings(HOST=host, PUBLIC_URL="")
    assert (expected, expected) == (local_url(options), signed_url(options))


def test_prefix_of_the_public_url_is_signed_and_not_sent(
    make_settings: Callable[..., Settings],
) -> None:
    """
    A proxy that takes a prefix away is stood in for: the signature covers the prefix, the request
    leaves it out.
    """
    options = make_settings(PUBLIC_URL="https://x.example.test/calls")
    request = WebhookRequest(
        method="POST", url=f"{signed_url(options)}/webhooks/twilio?buildr_call_id=110"
    )
    assert "https://x.example.test/calls/webhooks/twilio?buildr_call_id=110" == request.url
    assert "/webhooks/twilio?buildr_call_id=110" == local_path(options, request)
