"""
What is left of a request for the store: nothing secret, and nothing that parsing does not need.
"""

from typing import Final

from service.receiver.requests import Headers
from service.receiver.webhook_checks import AccountReceiver
from service.sources.base import Source
from service.sources.request import WebhookRequest
from service.webhook_urls import strip_credentials, verified_buildr_call_id

CONTENT_TYPE: Final = "content-type"


def storable_request(
    source: Source, account: AccountReceiver, request: WebhookRequest
) -> tuple[WebhookRequest, str | None]:
    """
    The request as it is stored: without secrets in URL and body, and with only those headers that
    parsing needs; and what is wrong with the Buildr call id in its URL, if anything is.

    The id that our signature in the URL proves is stored beside it, since the signature itself is
    not.
    """
    headers: Headers = {
        name: values
        for name, values in request.headers.items()
        # An allow list: a vendor may begin to send a secret in a header that nobody knows of today.
        if name == CONTENT_TYPE or name in source.kept_headers
    }
    buildr_call_id: str | None = None
    fault: str | None = None
    # Where the vendor signs the URL, the id in it is proved by that, and parsing reads it there.
    if not source.signs_url:
        buildr_call_id, fault = verified_buildr_call_id(
            account.url_secrets, source.slug, request.url, account=account.path_account
        )
    redacted = source.redact(request)
    storable = redacted.with_parts(
        url=strip_credentials(redacted.url), headers=headers, buildr_call_id=buildr_call_id
    )
    return storable, fault
