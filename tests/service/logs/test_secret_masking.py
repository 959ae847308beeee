"""
Hiding of secrets in text. What is hidden, and what is not, is in `test_masking`.
"""

from hypothesis import given
from hypothesis import strategies as st

from service.logs.secret_masking import mask_secrets, search_secrets

# What the searches look for, and what may be around it.
_PIECES = st.sampled_from(
    [
        *("authorization", "Cookie", "x-api_key", "API-KEY", "credentials", "passwd", "pwd"),
        *("secret", "\u017fecret", "signature", "To\u212aen", "whsec_", "bearer", "Basic"),
        *("body", "notes", "raw", "transcript", "input_value", ", input_type="),
        *("://", ":", "=", "?", "@", "'", '"', "\\", " ", "\u00a0", "\n", "-", "/", "a", "7"),
    ]
)


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_look_before_the_searches_leaves_none_out_that_would_find_something(text: str) -> None:
    """Text that is not searched holds nothing that a search would hide."""
    assert search_secrets(text) == mask_secrets(text)
