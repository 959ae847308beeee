"""
Whole processes: three workers keep one subscription alive at a stand-in of RingCentral, which
shakes hands with the real receiver.
"""

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import listening
from tests.e2e.harness import System, wait_for

HOST = "https://hooks.example.test"
SECRETS = {
    "URL_SECRET": "url-secret-of-the-tests-" + "1" * 20,
    "RINGCENTRAL_VERIFICATION_TOKEN": "rc-verification-token-of-the-tests",
    "RINGCENTRAL_CLIENT_SECRET": "rc-client-secret",
    "RINGCENTRAL_JWT": "rc-jwt-of-the-tests",
}


@pytest.mark.slow
def test_workers_make_one_subscription_and_renew_it_after_a_restart(
    redis_url: str, tmp_path: Path
) -> None:
    """
    Made at the start by one of three, mended when a worker starts with another secret; nothing
    confidential in any log.
    """
    standin = RingCentral()
    with listening(standin) as url:
        extra = {**SECRETS, "RINGCENTRAL_CLIENT_ID": "rc-client", "RINGCENTRAL_API_URL": url}
        system = System(
            folder=tmp_path,
            redis_url=redis_url,
            twilio_token=TWILIO_TOKEN,
            standard_secret=STANDARD_SECRET,
            extra=extra,
        )

        async def reach(address: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
            async with httpx.AsyncClient() as client:
                return await client.post(
                    address.replace(HOST, system.url), headers=dict(headers), content=body
                )

        standin.reach = reach
        try:
            # RingCentral shakes hands with a receiver that is there; else it refuses the request.
            system.start_all(workers=0)
            for number in range(3):
                system.start_worker(f"worker{number}")
            wait_for(lambda: len(standin.stored) == 1, goal="the subscription")
            wait_for(
                lambda: (
                    sum(
                        "subscription.created" in system.log(f"worker{number}")
                        for number in range(3)
                    )
                    == 1
                ),
                goal="the log",
            )
            for number in range(3):
                system.kill(f"worker{number}")
            # The receiver knows the first token only as the second of two; the new one is given to
            # RingCentral at once.
            system.kill("receiver")
            both = f"rc-verification-token-of-tomorrow,{SECRETS['RINGCENTRAL_VERIFICATION_TOKEN']}"
            system.start("receiver", "serve", RINGCENTRAL_VERIFICATION_TOKEN=both)
            wait_for(lambda: system._answers(f"{system.url}/readyz"), goal="the receiver")
            system.start("worker3", "work", RINGCENTRAL_VERIFICATION_TOKEN=both)
            wait_for(lambda: "subscription.updated" in system.log("worker3"), goal="the new token")
        finally:
            system.stop()
        assert ["rc-verification-token-of-tomorrow"] == list(standin.verification.values())
        assert 2 == len(standin.changes)
        logs = "".join(
            system.log(name) for name in ("receiver", "worker0", "worker1", "worker2", "worker3")
        )
        assert [] == [name for name, value in SECRETS.items() if value in logs]
