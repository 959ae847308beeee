"""
How the tests sign as Telnyx: with `cryptography`; `test_telnyx.py` holds it to Telnyx's own library
and to known vectors.
"""

import base64
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.events import Result
from service.sources import WebhookRequest
from service.sources.telnyx import hangup_causes, vocabulary
from tests.sources.contract import REP_GONE, SourceContract, no_parent, with_headers

SEEDS: Final = (bytes(range(32)), bytes(range(32, 64)))
PRIVATE_KEYS: Final = tuple(map(Ed25519PrivateKey.from_private_bytes, SEEDS))
PUBLIC_KEYS: Final = tuple(
    base64.b64encode(key.public_key().public_bytes_raw()).decode() for key in PRIVATE_KEYS
)
# The second is set as a seed, so that both forms of the setting prove messages in every test of the
# suite that takes two secrets.
SECRETS: Final = (PUBLIC_KEYS[0], f"seed:{base64.b64encode(SEEDS[1]).decode()}")
KEYS: Final = dict(zip(SECRETS, PRIVATE_KEYS, strict=True))


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as Telnyx does, with the private key of the pair that a setting is half of."""
    timestamp = str(int(now.timestamp()))
    signature = KEYS[secret].sign(timestamp.encode() + b"|" + request.body)
    return with_headers(
        request,
        {
            "telnyx-timestamp": timestamp,
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        },
    )


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=SECRETS,
    own_secrets=(SECRETS[1],),
    proofs=("telnyx-timestamp", "telnyx-signature-ed25519"),
    smallest="hangup__only-required-fields",
    signs_url=False,
    tolerance_s=300,
    words={
        "event_type": {*vocabulary.EVENTS, *vocabulary.IGNORED},
        "direction": vocabulary.DIRECTIONS,
        "result": vocabulary.DETECTION_RESULTS,
        "hangup_cause": hangup_causes.CAUSES,
        "sip_hangup_cause": set(map(str, hangup_causes.SIP_CAUSES)),
        "hangup_source": vocabulary.HANGUP_SIDES,
        "CallStatus": vocabulary.CALL_STATUSES,
        "AnsweredBy": vocabulary.ANSWERERS,
        "RecordingStatus": {*vocabulary.RECORDING_STATUSES, *vocabulary.UNWANTED_RECORDINGS},
        "DialCallStatus": vocabulary.STATUS_CAUSES,
        "Direction": vocabulary.TEXML_DIRECTIONS,
        "HangupCause": hangup_causes.CAUSES,
        "HangupSource": vocabulary.HANGUP_SIDES,
        "StatusCallbackEvent": vocabulary.TEXML_MEMBER_EVENTS,
    },
    unknown_values=frozenset(
        {
            "call.teleported",
            "sideways",
            "parrot",
            "evaporated",
            "beamed",
            "shredded",
            "vanished",
            "diagonal",
        }
    ),
    early_results={
        "answered-click-to-call": REP_GONE,
        "inbound-missed": no_parent("Call Control", Result.NO_ANSWER),
        "inbound-voicemail": no_parent("Call Control", Result.NO_ANSWER),
    },
)
