"""
The contract of `plivo`: signed by a reading of Plivo's rules that shares no code with ours, held to
the vectors in `test_plivo.py`.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from service.sources import WebhookRequest
from service.sources.plivo import hangup_causes, vocabulary
from tests.sources.contract import SourceContract, with_headers

# Of the groups of codes that all mean the same: one each, and the two that are most often met.
FAILED: Final = frozenset({"5010", "7011", "8011"})


def signature(url: str, form: Mapping[str, list[str]], nonce: str, token: str) -> str:
    """What Plivo puts into `X-Plivo-Signature-V3` of a POST to that URL."""
    address, _, query = url.partition("?")
    pairs = parse_qs(query, keep_blank_values=True)
    query_text = "&".join(
        f"{name}={value}" for name in sorted(pairs) for value in sorted(pairs[name])
    )
    form_text = "".join(f"{name}{value}" for name in sorted(form) for value in sorted(form[name]))
    parts = [part for part in (query_text, form_text) if part]
    text = address + ("?" if parts else "") + ".".join(parts)
    mac = hmac.new(token.encode("utf-8"), msg=f"{text}.{nonce}".encode(), digestmod=hashlib.sha256)
    return base64.standard_b64encode(mac.digest()).decode("ascii")


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as Plivo does; every try has a nonce of its own."""
    nonce = f"{int(now.timestamp()):020}"
    form = parse_qs(request.body.decode(), keep_blank_values=True)
    proof = signature(request.url, form, nonce, secret)
    return with_headers(
        request, {"x-plivo-signature-v3": proof, "x-plivo-signature-v3-nonce": nonce}
    )


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=("FAKEPLIVOTOKEN000000000000000000000000", "FAKEPLIVOTOKEN111111111111111111111111"),
    proofs=("x-plivo-signature-v3", "x-plivo-signature-v3-nonce"),
    smallest="hangup__only-required-fields",
    signs_url=True,
    words={
        **vocabulary.KNOWN_VALUES,
        "DialAction": {*vocabulary.DIAL_ACTIONS, *vocabulary.IGNORED_DIAL_ACTIONS},
        "ConferenceAction": {
            *vocabulary.KNOWN_VALUES["ConferenceAction"],
            *vocabulary.IGNORED_CONFERENCE_ACTIONS,
        },
        "HangupCauseCode": {
            *hangup_causes.ENDS_TALK,
            *hangup_causes.HANGUP_CODES,
            *FAILED,
        },
    },
    unknown_values=frozenset(
        {
            "teleported",
            "sideways",
            "beamed",
            "evaporated",
            "parrot",
            "ParticipantBeamed",
            "HangupCauseCode 3999",
        }
    ),
)
