"""
What some pages need around the installation: telephony systems whose APIs answer, a channel for
alerts.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.doubles.hooks import hook_server
from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.dialpad import Dialpad
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import listening
from tests.doubles.vendors.twilio import ACCOUNT, Twilio
from tests.doubles.vendors.zoom import Zoom
from tests.repository.docs_commands.system import HOST

Surroundings = Callable[[ExitStack], dict[str, str]]


def _ringcentral(stack: ExitStack) -> dict[str, str]:
    url = stack.enter_context(listening(RingCentral()))
    return {
        f"{prefix}RINGCENTRAL_{name}": value
        for prefix in ("", "ACCOUNT__ACME__")
        for name, value in (
            ("CLIENT_ID", "rc-client"),
            ("CLIENT_SECRET", "rc-client-secret"),
            ("JWT", "rc-jwt-of-the-tests"),
            ("API_URL", url),
        )
    }


def _twilio(stack: ExitStack) -> dict[str, str]:
    """Its log has a call of yesterday that no webhook has reported."""
    twilio = Twilio()
    began_at = datetime.now(UTC).replace(hour=12, minute=0) - timedelta(days=1)
    twilio.add(f"CA{7:032x}", "busy", began_at=began_at, ended_at=began_at + timedelta(seconds=20))
    # The secret is that of webhooks too.
    token = twilio.login[1]
    url = stack.enter_context(listening(twilio))
    return {
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": token,
        "TWILIO_API_URL": url,
    }


def _subscriptions(stack: ExitStack) -> dict[str, str]:
    """All systems whose subscriptions are looked after."""
    zoom = stack.enter_context(listening(Zoom()))
    return {
        **_ringcentral(stack),
        # Vendors send to no other scheme.
        "PUBLIC_URL": HOST,
        "AIRCALL_API_ID": "aircall-api-id",
        "AIRCALL_API_TOKEN": "aircall-api-token",
        "AIRCALL_API_URL": stack.enter_context(listening(Aircall())) + "/v1",
        "DIALPAD_API_KEY": "dialpad-api-key",
        "DIALPAD_API_URL": stack.enter_context(listening(Dialpad())) + "/api/v2",
        "ZOOM_ACCOUNT_ID": "zoom-account",
        "ZOOM_CLIENT_ID": "zoom-client",
        "ZOOM_CLIENT_SECRET": "zoom-client-secret",
        "ZOOM_API_URL": f"{zoom}/v2",
        "ZOOM_TOKEN_URL": f"{zoom}/oauth/token",
    }


def _slack(stack: ExitStack) -> dict[str, str]:
    return {"ALERTS_SLACK_URL": stack.enter_context(hook_server()).url}


SURROUNDINGS: Final[Mapping[str, Surroundings]] = {
    "docs/alerts.md": _slack,
    "docs/backfill.md": _twilio,
    "docs/subscriptions.md": _subscriptions,
    "docs/troubleshooting.md": _ringcentral,
}


@contextmanager
def surroundings(page: str) -> Iterator[dict[str, str]]:
    """Start what a page needs, until the block ends; gives the settings for it."""
    with ExitStack() as stack:
        start = SURROUNDINGS.get(page)
        yield {} if start is None else start(stack)
