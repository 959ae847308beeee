"""
Fixtures of the back-fill tests.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from service.settings import Settings
from service.store.connection import open_store
from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.dialpad import Dialpad
from tests.doubles.vendors.plivo import AUTH_ID, Plivo
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import StandIn, running
from tests.doubles.vendors.twilio import ACCOUNT, Twilio
from tests.doubles.vendors.vonage import Vonage
from tests.doubles.vendors.zoom import Zoom
from tests.workers.backfill.harness import Bench

OpenBench = Callable[..., AbstractAsyncContextManager[Bench]]


def _settings_of(standin: StandIn, url: str) -> dict[str, str]:
    """The settings with which a stand-in is asked."""
    secret = "the-secret-of-the-source-0000"
    values: dict[str, str] = {}
    if isinstance(standin, Twilio):
        values = {
            "TWILIO_AUTH_TOKEN": "FAKE0000000000000000000000000000",
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_API_URL": url,
        }
    elif isinstance(standin, Aircall):
        api_id, api_token = standin.credentials
        values = {
            "AIRCALL_TOKEN": secret,
            "AIRCALL_API_ID": api_id,
            "AIRCALL_API_TOKEN": api_token,
            "AIRCALL_API_URL": f"{url}/v1",
        }
    elif isinstance(standin, Dialpad):
        values = {
            "DIALPAD_WEBHOOK_SECRET": secret,
            "DIALPAD_API_KEY": standin.api_key,
            "DIALPAD_API_URL": f"{url}/api/v2",
        }
    elif isinstance(standin, Plivo):
        values = {
            "PLIVO_AUTH_TOKEN": "FAKE0000000000000000000000000000",
            "PLIVO_AUTH_ID": AUTH_ID,
            "PLIVO_API_URL": url,
        }
    elif isinstance(standin, RingCentral):
        client_id, client_secret = standin.client
        values = {
            "RINGCENTRAL_VERIFICATION_TOKEN": secret,
            "RINGCENTRAL_CLIENT_ID": client_id,
            "RINGCENTRAL_CLIENT_SECRET": client_secret,
            "RINGCENTRAL_JWT": standin.jwt,
            "RINGCENTRAL_API_URL": url,
        }
    elif isinstance(standin, Vonage):
        api_key, api_secret = standin.login
        values = {
            "VONAGE_SIGNATURE_SECRET": secret,
            "VONAGE_API_KEY": api_key,
            "VONAGE_API_SECRET": api_secret,
            "VONAGE_API_URL": url,
        }
    elif isinstance(standin, Zoom):
        client_id, client_secret = standin.client
        values = {
            "ZOOM_SECRET_TOKEN": secret,
            "ZOOM_ACCOUNT_ID": standin.account,
            "ZOOM_CLIENT_ID": client_id,
            "ZOOM_CLIENT_SECRET": client_secret,
            "ZOOM_API_URL": f"{url}/v2",
            "ZOOM_TOKEN_URL": f"{url}/oauth/token",
        }
    return values


@pytest.fixture
def open_bench(redis_url: str, make_settings: Callable[..., Settings]) -> OpenBench:
    """Open an account whose telephony system is a stand-in."""

    @asynccontextmanager
    async def opened(standin: StandIn, **values: str) -> AsyncIterator[Bench]:
        slug = type(standin).__name__.lower()
        async with running(standin) as url:
            settings = make_settings(
                **{
                    "REDIS_URL": redis_url,
                    "BUILDR_API_URL": "http://127.0.0.1:9",
                    "BUILDR_BUDGETS": "1000/1s",
                    "URL_SECRET": "u" * 32,
                    "SETTLE_S": "0, zoom=0",
                    **_settings_of(standin, url),
                    **values,
                }
            )
            async with open_store(settings, role="cli") as store:
                yield Bench(slug=slug, standin=standin, settings=settings, store=store)

    return opened
