"""
`buildr-calls link-url`: the address to put into a telephony system.
"""

import click

from service.errors import MalformedPayload
from service.settings import Settings
from service.sources import SOURCES
from service.sources.common.ids import BUILDR_CALL_ID, buildr_call_id
from service.webhook_urls import BUILDR, path_token, path_token_for, webhook_path
from workers.cli.accounts import load_settings
from workers.cli.arguments import OneOf
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json
from workers.simulator.requests import signed_query


@click.command("link-url")
@click.argument("source", type=OneOf(sorted((*SOURCES, BUILDR))))
@click.argument("call", metavar="[BUILDR_CALL_ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def link_url(source: str, call: str | None, *, as_json: bool) -> None:
    """
    Print the address to put into a telephony system, with its token where it needs one; with
    BUILDR_CALL_ID, that of one Buildr call.

    An address with a token is a secret: keep it out of tickets and chats.

    \b
    Examples:
      buildr-calls link-url aircall
      buildr-calls link-url vonage 110
    """
    settings = load_settings(is_local=True)
    if source == BUILDR:
        address = _buildr_address(settings, call)
    else:
        address = webhook_address(settings, source, call)
    if as_json:
        print_json({"source": source, BUILDR_CALL_ID: call, "address": address})
        return
    echo(address)
    if settings.public_url is None:
        echo(
            "PUBLIC_URL is not set: the address above is that of this machine, "
            "which no telephony system reaches.",
            is_error=True,
        )


def webhook_address(settings: Settings, slug: str, call: str | None) -> str:
    """
    The address of a source, or that of one Buildr call. Raises `Failure` for what it lacks, and
    click's usage error for what is no id.
    """
    source = SOURCES[slug]
    url_secrets = settings.url_secrets
    if source.requires_path_token and not url_secrets:
        raise _missing_url_secret(f"the token in the address of {source.title}")
    token = path_token_for(source, url_secrets, account=settings.path_account)
    address = settings.base_url + webhook_path(slug, account=settings.path_account, token=token)
    if call is None:
        return address
    try:
        checked = buildr_call_id(call)
    except MalformedPayload as err:
        raise click.UsageError(str(err)) from err
    if checked is None:
        raise click.UsageError("BUILDR_CALL_ID is empty; leave it out for the address of all calls")
    query = f"{BUILDR_CALL_ID}={checked}"
    if not source.has_address_per_call:
        # All its calls would be taken for this one.
        raise Failure(
            f"{source.title} sends all calls to one address, which can name no Buildr call; "
            f"see docs/telephony/{slug}.md"
        )
    if source.signs_url:
        return f"{address}?{query}"
    if not url_secrets:
        raise _missing_url_secret(f"the signature of an id in an address of {source.title}")
    return f"{address}?{signed_query(slug, query, settings)}"


def _buildr_address(settings: Settings, call: str | None) -> str:
    """Where Buildr sends its webhooks about contacts."""
    if call is not None:
        raise click.UsageError("Buildr's webhooks are about contacts; leave BUILDR_CALL_ID out")
    if not settings.url_secrets:
        raise _missing_url_secret("the token in the address of Buildr's webhooks")
    token = path_token(settings.url_secrets[0], BUILDR, account=settings.path_account)
    return settings.base_url + webhook_path(BUILDR, account=settings.path_account, token=token)


def _missing_url_secret(purpose: str) -> Failure:
    return Failure(
        f"set URL_SECRET (in an account: url_secret), from which {purpose} is made: "
        "openssl rand -hex 32"
    )
