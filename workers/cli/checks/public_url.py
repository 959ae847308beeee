"""
Whether the address that telephony systems call leads to a receiver of this very installation.
"""

import asyncio
import ssl
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from service.settings import Settings
from service.settings.exposure import public_url_faults
from service.sources import SOURCES
from service.sources.common.setting_checks import is_loopback
from service.store.connection import open_store
from service.store.identity import INSTANCE, PUBLIC_HEALTH
from service.store.redis_trouble import REDIS_ERRORS
from workers.cli.checks.finding import Finding
from workers.http_client import user_agent
from workers.simulator.requests import local_url

TITLE = "public url"
TIMEOUT_S = 5.0


class Reached(Struct, frozen=True):
    """
    What an address leads to: `fault` is why it is no receiver that takes messages, with the cure,
    or None. `identity` names the records of the receiver, as far as it shows it.
    """

    fault: str | None
    identity: str | None = None


async def public_url_finding(settings: Settings) -> Finding:
    """Reads only. `settings` are those of the first active account, which the receiver names."""
    url = settings.public_url
    if url is None:
        return _without(settings)
    reached = await reach(url)
    if reached.fault is not None:
        return Finding(TITLE, is_fine=False, detail=reached.fault)
    fault = await _identity_fault(settings, url, reached.identity)
    if fault is not None:
        return fault
    if urlsplit(url).scheme == "https":
        return Finding(TITLE, is_fine=True, detail=f"{url} reaches this receiver")
    return _over_http(url)


async def _identity_fault(settings: Settings, url: str, identity: str | None) -> Finding | None:
    """What is wrong with the receiver that answers, or cannot be known; None if it is ours."""
    if identity is None:
        detail = (
            f"{url} reaches a receiver that does not show which installation it is: "
            "it has no Redis now, or is of an older version"
        )
        return Finding(TITLE, is_fine=True, detail=detail, is_warning=True)
    try:
        async with open_store(settings, role="cli") as store:
            is_ours = identity == await store.identity.read()
    except (*REDIS_ERRORS, OSError):
        detail = f"{url} reaches a receiver; which one is not known without Redis"
        return Finding(TITLE, is_fine=True, detail=detail, is_warning=True)
    if not is_ours:
        return Finding(TITLE, is_fine=False, detail=other_installation(url))
    return None


def other_installation(url: str) -> str:
    """What to say of an address that leads to a receiver with other records."""
    return (
        f"{url} reaches the receiver of another installation, with another Redis or ACCOUNT: "
        "set PUBLIC_URL to this one's address, or give both the same REDIS_URL and ACCOUNT"
    )


async def reach(url: str) -> Reached:
    """Ask the health of what an address leads to; never raises."""
    address = url + PUBLIC_HEALTH
    try:
        async with (
            asyncio.timeout(2 * TIMEOUT_S),
            httpx.AsyncClient(
                timeout=TIMEOUT_S,
                # A receiver of this machine is never behind a proxy of the environment.
                trust_env=not is_loopback(urlsplit(url).hostname or ""),
                headers={"User-Agent": user_agent()},
            ) as client,
        ):
            answer = await client.get(address)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as err:
        return Reached(f"{address} {_no_answer(url, err)}")
    return Reached(_not_alive(address, answer), answer.headers.get(INSTANCE))


def _without(settings: Settings) -> Finding:
    faults = public_url_faults(settings)
    if faults:
        return Finding(TITLE, is_fine=False, detail=faults[0])
    signing = [slug for slug, source in SOURCES.items() if source.signs_url]
    slugs = [slug for slug in signing if settings.secrets_of(slug)]
    detail = "PUBLIC_URL is not set: the address of each request counts"
    # With the sandbox nothing comes from outside.
    is_local = is_loopback(urlsplit(settings.buildr_api_url).hostname or "")
    if settings.trusted_proxies or is_local or not slugs:
        return Finding(TITLE, is_fine=True, detail=f"{detail}; set it behind a proxy")
    detail += (
        f", which behind a proxy or a tunnel is not the one that {', '.join(slugs[:3])} signs: "
        "set it to the address that is entered there, like PUBLIC_URL=https://calls.example.com"
    )
    return Finding(TITLE, is_fine=True, detail=detail, is_warning=True)


def _over_http(url: str) -> Finding:
    if is_loopback(urlsplit(url).hostname or ""):
        detail = f"{url} reaches this receiver, from this machine only"
        return Finding(TITLE, is_fine=True, detail=detail)
    detail = (
        f"{url} reaches this receiver, unencrypted, and most telephony systems refuse http: "
        f"put a proxy with a certificate before it (deploy/Caddyfile), and set "
        f"PUBLIC_URL=https://{urlsplit(url).hostname}"
    )
    return Finding(TITLE, is_fine=True, detail=detail, is_warning=True)


def _not_alive(address: str, answer: httpx.Response) -> str | None:
    """Why an answer is not that of a receiver, with the cure; None if it is."""
    if answer.is_redirect:
        target = answer.headers.get("location", "").removesuffix(PUBLIC_HEALTH)
        return (
            f"{address} redirects to {target or 'another address'}, and a webhook that follows "
            f"loses its body: set PUBLIC_URL={target or 'ADDRESS'} here and at the telephony system"
        )
    if answer.status_code in (httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT):
        return (
            f"{address} answers {answer.status_code}: the proxy finds no receiver behind it; "
            "start buildr-calls serve, and see that the proxy names its HOST and PORT"
        )
    # The text too: a proxy's own page may answer 200 for any path.
    if answer.status_code == httpx.codes.OK and "alive" in answer.text:
        return None
    return (
        f"{address} answers {answer.status_code}, and not as this service would: something else "
        "is there; set PUBLIC_URL to the receiver's address, without /webhooks"
    )


def _no_answer(url: str, err: Exception) -> str:
    """What an error of the connection means, with the cure."""
    host = urlsplit(url).hostname
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"has a certificate that is not accepted ({cause.verify_message}): renew it, or "
                "correct the host in PUBLIC_URL"
            )
        if isinstance(cause, ssl.SSLError):
            return f"is not https: correct PUBLIC_URL, or let the proxy end TLS on {host}"
        if isinstance(cause, ConnectionRefusedError):
            return (
                "refuses the connection: nothing listens there; start buildr-calls serve, or open "
                "the port"
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(err, httpx.TimeoutException | TimeoutError):
        return (
            f"gives no answer within {TIMEOUT_S:g} s: a firewall drops it, or the address is only "
            "reached from outside; try it from another machine"
        )
    if _is_unknown_host(err):
        return f"cannot be found: there is no host {host}; correct PUBLIC_URL, or its DNS entry"
    return (
        f"does not answer ({type(err).__name__}): start buildr-calls serve, or correct PUBLIC_URL"
    )


def _is_unknown_host(err: Exception) -> bool:
    text = str(err).lower()
    return any(part in text for part in ("name or service", "nodename", "name resolution"))


def receiver_url(settings: Settings) -> str:
    """Where the receiver is reached from here: the public URL, else its own HOST and PORT."""
    return settings.public_url or local_url(settings)
