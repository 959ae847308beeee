"""
The addresses of webhooks: where a source sends to, the token that makes an address hard to guess,
and the Buildr call ids in addresses that a signature of our own proves.

A vendor that proves little gets a path token: `/webhooks/SOURCE/t/TOKEN`. Where a vendor does not
sign the address, a `buildr_call_id=110` in it counts only with `buildr_sig=` beside it. Both are
made from `URL_SECRET`: the first 32 hex digits of HMAC-SHA256 with that secret over `path:SOURCE`
and over `buildr_call_id:SOURCE:ID`. In an account with a name SOURCE is `ACCOUNT/SOURCE`; what was
made before that, over the source alone, is accepted too, since vendors have it.
"""

import hmac
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote, unquote_plus

from service.errors import MalformedPayload
from service.sources.base import Source
from service.sources.common.ids import BUILDR_CALL_ID, buildr_call_id

SIGNATURE: Final = "buildr_sig"
# Buildr itself, where its webhooks about contacts are sent to.
BUILDR: Final = "buildr"
TOKEN_SEGMENT: Final = "/t/"
# 128 bits: too many to guess, and short enough for an address that operators paste into forms.
DIGITS: Final = 32
NOT_ONE_ID: Final = (
    f"{BUILDR_CALL_ID} in the address counts only once, with one {SIGNATURE} beside it: "
    "see buildr-calls link-url"
)
WRONG_SIGNATURE: Final = (
    f"{SIGNATURE} in the address does not fit its {BUILDR_CALL_ID}: see buildr-calls link-url"
)
# The last token of a path. A letter of it may be written with a percent sign, which the router
# reads as the letter.
TOKEN: Final = re.compile("(.*)(?:/|%2f)(?:t|%74)(?:/|%2f)", re.IGNORECASE | re.DOTALL)


def webhook_path(source: str, *, account: str | None, token: str | None = None) -> str:
    """
    Where a source sends to: `/webhooks/SOURCE`, with the account's name before the source's if it
    is not None, and a path token at its end if there is one.
    """
    path = f"/webhooks/{source}"
    if account is not None:
        path = f"/webhooks/{account}/{source}"
    if token is None:
        return path
    return f"{path}{TOKEN_SEGMENT}{token}"


def admin_prefix(account: str | None) -> str:
    """What the paths of an account's links and expected calls begin with; None is the default."""
    if account is None:
        return ""
    return f"/accounts/{account}"


def path_token(secret: str, source: str, *, account: str | None = None) -> str:
    """
    The token in a source's address: 32 hex digits. `account` is the name in the address, None for
    the default account.
    """
    return _digits(secret, f"path:{_owner(source, account)}")


def path_token_for(
    source: Source, secrets: Sequence[str], *, account: str | None = None
) -> str | None:
    """
    The token in a source's address, made from the newest secret; None where it needs none, or where
    there is no secret.
    """
    if not source.requires_path_token or not secrets:
        return None
    # The newest for what is made, all of them for what is checked: so a secret is rotated without a
    # moment at which webhooks are refused.
    return path_token(secrets[0], source.slug, account=account)


def path_tokens(
    secrets: Sequence[str], source: str, *, account: str | None = None
) -> tuple[str, ...]:
    """All tokens that an address of the source may hold, those of the newest secret first."""
    return tuple(
        path_token(secret, source, account=owner)
        for secret in secrets
        for owner in _owners(account)
    )


def id_signature(secret: str, source: str, call_id: str, *, account: str | None = None) -> str:
    """What proves that an address of a source may name this Buildr call: 32 hex digits."""
    return _digits(secret, f"{BUILDR_CALL_ID}:{_owner(source, account)}:{call_id}")


def is_path_token(
    secrets: Sequence[str], source: str, token: str, *, account: str | None = None
) -> bool:
    """
    Whether a token is the one of this source in this account, by any of the secrets; takes the same
    time whatever differs.
    """
    return _is_any(path_tokens(secrets, source, account=account), token)


def verified_buildr_call_id(
    secrets: Sequence[str], source: str, url: str, *, account: str | None = None
) -> tuple[str | None, str | None]:
    """
    The Buildr call id in an address that one of the secrets signed, and what is wrong with it, if
    anything is; at least one of both is None.

    An id without its signature, or with a wrong one, is no id. A fault never costs the message.
    """
    # As sets: the same id twice is no contradiction.
    call_ids, signatures = _ids_and_signatures(url)
    if not call_ids:
        return None, None
    if len(call_ids) > 1 or len(signatures) != 1:
        return None, NOT_ONE_ID
    try:
        call_id = buildr_call_id(call_ids.pop())
    except MalformedPayload as err:
        return None, str(err)
    if call_id is None:
        return None, WRONG_SIGNATURE
    valid_signatures = [
        id_signature(secret, source, call_id, account=owner)
        for secret in secrets
        for owner in _owners(account)
    ]
    if not _is_any(valid_signatures, signatures.pop()):
        return None, WRONG_SIGNATURE
    return call_id, None


# Most senders use one address for all calls. Bounded, since others name the call in it.
@lru_cache(maxsize=64)
def strip_credentials(url: str) -> str:
    """
    An address without its path token and without the signature of its id, as it may be stored and
    shown.
    """
    path, separator, query = url.partition("?")
    # The pattern looks for a slash, in its own form or escaped, before and after the marker.
    match = None
    if TOKEN_SEGMENT in path or "%" in path:
        match = TOKEN.match(path)
    # Only below our own path: elsewhere `/t/` may be a part of somebody's address.
    if match is not None and "/webhooks/" in unquote(match[1]):
        path = match[1]
    if not query:
        return path
    parts = [part for part in query.split("&") if unquote_plus(part.partition("=")[0]) != SIGNATURE]
    query = "&".join(parts)
    if not query:
        return path
    return path + separator + query


def _ids_and_signatures(url: str) -> tuple[set[str], set[str]]:
    """The different Buildr call ids and signatures in a query, empty ones left out."""
    # As most are; to read an empty query takes as long as any.
    if "?" not in url:
        return set(), set()
    pairs = parse_qsl(url.partition("#")[0].partition("?")[2], keep_blank_values=True)
    call_ids = {value for name, value in pairs if name == BUILDR_CALL_ID}
    signatures = {value for name, value in pairs if name == SIGNATURE}
    return call_ids - {""}, signatures - {""}


def _owner(source: str, account: str | None) -> str:
    """The source as it is signed: no name of an account or a source holds a slash."""
    if account is None:
        return source
    return f"{account}/{source}"


def _owners(account: str | None) -> tuple[str | None, ...]:
    """The accounts in whose name an address may have been made: also in that of none."""
    if account is None:
        return (None,)
    return (account, None)


def _digits(secret: str, text: str) -> str:
    # The text names its purpose and its source: a token of one source is none of another, and no
    # signature of an id.
    return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()[:DIGITS]


def _is_any(valid_texts: Sequence[str], text: str) -> bool:
    """Whether a text is one of those that are valid, in the same time whichever it is."""
    # A list: `any` over a generator would stop at the first that fits.
    matches = [
        hmac.compare_digest(valid.encode(), text.encode("utf-8", "replace"))
        for valid in valid_texts
    ]
    return any(matches)
