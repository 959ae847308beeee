"""
Addresses: tokens and signed ids count only as they were made, for the source they were made for.
"""

import hashlib
import hmac
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhook_urls import (
    admin_prefix,
    id_signature,
    is_path_token,
    path_token,
    path_tokens,
    strip_credentials,
    verified_buildr_call_id,
    webhook_path,
)

SECRET = "fake-url-secret-000000000000000000"
OTHER = "fake-url-secret-111111111111111111"
URL = "https://hooks.example.test/webhooks/vonage"
README = Path(__file__).parents[2] / "docs" / "telephony" / "README.md"


def test_token_and_signature_are_what_the_page_says() -> None:
    """Whoever computes them by hand, by the documented formula, gets the same."""
    by_hand = hmac.new(SECRET.encode(), b"path:aircall", hashlib.sha256).hexdigest()[:32]
    assert by_hand == path_token(SECRET, "aircall")
    by_hand = hmac.new(SECRET.encode(), b"buildr_call_id:vonage:110", hashlib.sha256).hexdigest()[
        :32
    ]
    assert by_hand == id_signature(SECRET, "vonage", "110")


def test_example_on_the_page_makes_the_signature() -> None:
    """The Python example of docs/telephony/README.md prints what is accepted here."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "URL_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert id_signature(SECRET, "vonage", "110") == done.stdout.strip()


def test_token_is_of_one_source_and_any_secret() -> None:
    """
    While secrets rotate, the tokens of both count; that of another source, a shorter or a changed
    one, or none, does not.
    """
    token = path_token(OTHER, "aircall")
    assert is_path_token((SECRET, OTHER), "aircall", token)
    for given_token in (
        path_token(OTHER, "ringcentral"),
        token[:-1],
        token + "0",
        token.upper() + "X",
        "",
        "é",
        "\udcff",
    ):
        assert not is_path_token((SECRET, OTHER), "aircall", given_token)
    assert not is_path_token((SECRET,), "aircall", token)
    assert not is_path_token((), "aircall", token)


def test_token_and_signature_hold_the_account() -> None:
    """
    What was made for one account counts in no other, even with the same secret; what was made
    before accounts were in it counts where its secret is set, since vendors have it.
    """
    acme = path_token(SECRET, "aircall", account="acme")
    old = path_token(SECRET, "aircall")
    assert (acme, old) == path_tokens((SECRET,), "aircall", account="acme")
    assert is_path_token((SECRET,), "aircall", acme, account="acme")
    assert is_path_token((SECRET,), "aircall", old, account="acme")
    assert not is_path_token((SECRET,), "aircall", acme)
    assert not is_path_token((SECRET,), "aircall", acme, account="beta")
    assert not is_path_token((OTHER,), "aircall", old, account="acme")
    signatures = {
        "acme": id_signature(SECRET, "vonage", "110", account="acme"),
        None: id_signature(SECRET, "vonage", "110"),
    }
    for signer, account, is_proved in (
        ("acme", "acme", True),
        (None, "acme", True),
        (None, None, True),
        ("acme", None, False),
        ("acme", "beta", False),
    ):
        url = f"{URL}?buildr_call_id=110&buildr_sig={signatures[signer]}"
        call_id, _ = verified_buildr_call_id((SECRET,), "vonage", url, account=account)
        assert is_proved == (call_id == "110"), (signer, account)


def test_signed_id_counts() -> None:
    """An id with the signature of any secret is proved, whatever else is in the query."""
    signature = id_signature(SECRET, "vonage", "110")
    for query in (
        f"buildr_call_id=110&buildr_sig={signature}",
        f"x=1&buildr_sig={signature}&y&buildr_call_id=110",
    ):
        assert ("110", None) == verified_buildr_call_id((OTHER, SECRET), "vonage", f"{URL}?{query}")


@pytest.mark.parametrize(
    "query",
    [
        "buildr_call_id=110",
        "buildr_call_id=110&buildr_sig=",
        "buildr_call_id=111&buildr_sig={right}",
        "buildr_call_id=110&buildr_sig={of_another_source}",
        "buildr_call_id=110&buildr_sig={of_another_secret}",
        "buildr_call_id=110&buildr_call_id=111&buildr_sig={right}",
        "buildr_call_id=110&buildr_sig={right}&buildr_sig=x",
        "buildr_call_id=abc&buildr_sig={right}",
        "buildr_call_id=110&buildr_sig=%ff",
    ],
)
def test_unsigned_id_does_not_count_and_says_why(query: str) -> None:
    """Anything but one id with its own signature is no id; the fault does not repeat it."""
    filled = query.format(
        right=id_signature(SECRET, "vonage", "110"),
        of_another_source=id_signature(SECRET, "aircall", "110"),
        of_another_secret=id_signature(OTHER, "vonage", "110"),
    )
    call_id, fault = verified_buildr_call_id((SECRET,), "vonage", f"{URL}?{filled}")
    assert call_id is None
    assert fault is not None
    assert "110" not in fault


def test_address_without_an_id_is_no_fault() -> None:
    """Most addresses name no call."""
    assert (None, None) == verified_buildr_call_id((SECRET,), "vonage", f"{URL}?buildr_sig=x&a=1")
    assert (None, None) == verified_buildr_call_id((), "vonage", URL)
    assert (None, None) == verified_buildr_call_id(
        (SECRET,), "vonage", "http://[::1/webhooks/vonage?a=1"
    )


@pytest.mark.parametrize(
    ("url", "stored_url"),
    [
        (URL, URL),
        (f"{URL}/t/0123", URL),
        (f"{URL}/t/0123?buildr_call_id=110&buildr_sig=abc", f"{URL}?buildr_call_id=110"),
        (f"{URL}?buildr_sig=abc", URL),
        (f"{URL}?a=%20b&buildr_sig=abc&c=d+e", f"{URL}?a=%20b&c=d+e"),
        (f"{URL}/%74/0123?buildr%5Fsig=abc&a=1", f"{URL}?a=1"),
        (f"{URL}%2Ft%2f0123", URL),
        (
            "https://hooks.example.test/%77ebhooks/vonage/t/0123",
            "https://hooks.example.test/%77ebhooks/vonage",
        ),
        (
            "https://hooks.example.test/webhooks/t/vonage",
            "https://hooks.example.test/webhooks/t/vonage",
        ),
        (
            "https://hooks.example.test/t/x/webhooks/acme/vonage?a",
            "https://hooks.example.test/t/x/webhooks/acme/vonage?a",
        ),
    ],
)
def test_kept_address_holds_no_proof(url: str, stored_url: str) -> None:
    """Token and signature are left out, everything else stays byte for byte."""
    assert stored_url == strip_credentials(url)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_query_is_handled(call_id: str, signature: str) -> None:
    """Whatever is in an address gives no error and, unsigned, no id."""
    url = (
        f"{URL}?buildr_call_id={quote(call_id, errors='replace')}"
        f"&buildr_sig={quote(signature, errors='replace')}"
    )
    assert verified_buildr_call_id((SECRET,), "vonage", url)[0] is None
    strip_credentials(url)


@pytest.mark.parametrize(
    ("account", "token", "path"),
    [
        (None, None, "/webhooks/twilio"),
        ("acme", None, "/webhooks/acme/twilio"),
        (None, "0a", "/webhooks/twilio/t/0a"),
        ("acme", "0a", "/webhooks/acme/twilio/t/0a"),
    ],
)
def test_path_names_account_source_and_token(
    account: str | None, token: str | None, path: str
) -> None:
    """The default account is not in its paths; a token comes last."""
    assert path == webhook_path("twilio", account=account, token=token)


def test_admin_paths_begin_with_the_account() -> None:
    """The default account's have no prefix."""
    assert ("", "/accounts/acme") == (admin_prefix(None), admin_prefix("acme"))
