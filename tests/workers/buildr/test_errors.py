"""
Reading of a 429.
"""

from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.buildr.errors import rate_limited, retry_after_s
from workers.http_client import HttpAnswer

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
DATE = "Mon, 02 Nov 2026 10:00:30 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"X-Rate-Limited-For": "7"}, 7),
        ({"X-Rate-Limited-For": "0"}, 0),
        ({"X-Rate-Limited-For": "2.5"}, 2.5),
        ({"X-Rate-Limited-For": "7", "Retry-After": "60"}, 7),
        ({"Retry-After": "60"}, 60),
        ({"X-Rate-Limited-For": "soon", "Retry-After": "60"}, 60),
        ({"X-Rate-Limited-For": "-1", "Retry-After": "60"}, 60),
        ({"X-Rate-Limited-For": "inf"}, None),
        ({"X-Rate-Limited-For": "nan"}, None),
        ({"X-Rate-Limited-For": ""}, None),
        ({"Retry-After": DATE}, 30),
        ({"Retry-After": DATE, "Date": "Mon, 02 Nov 2026 10:00:10 GMT"}, 20),
        ({"Retry-After": DATE, "Date": "today"}, 30),
        ({"Retry-After": "Mon, 02 Nov 2026 09:00:00 GMT"}, 0),
        ({"Retry-After": "Mon, 02 Nov 2026 10:00:30 -0000"}, 30),
        ({"Retry-After": "Mon, 99 Nov 2026 10:00:30 GMT"}, None),
        ({"Retry-After": f"Mon, 02 Nov 2026 10:00:30 +{'9' * 17}"}, None),
    ],
)
def test_wait_is_read_from_buildrs_header_or_the_standard_one(
    headers: dict[str, str], expected: float | None
) -> None:
    """
    Buildr's headers_only header counts before `Retry-After`, which is seconds or a date by the
    server's clock; nonsense counts as absent.
    """
    assert expected == retry_after_s(httpx.Headers(headers), now=NOW)


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=255)),
    st.text(st.characters(min_codepoint=32, max_codepoint=255)),
)
def test_any_header_is_a_number_of_seconds_or_nothing(headers_only: str, standard: str) -> None:
    """Whatever the headers hold, the wait is a finite number from 0 on, or None."""
    headers = httpx.Headers(
        [
            (b"x-rate-limited-for", headers_only.encode("latin-1")),
            (b"retry-after", standard.encode("latin-1")),
        ]
    )
    wait_s = retry_after_s(headers, now=NOW)
    assert wait_s is None or 0 <= wait_s < float("inf")


@pytest.mark.parametrize(
    ("body", "bucket"),
    [
        (
            b'{"error": "rate_limit_exceeded", "bucket": "burst", "message": "m", "limit": 20}',
            "burst",
        ),
        (b'{"error": "rate_limit_exceeded"}', None),
        (b'{"bucket": 5}', None),
        (b"[]", None),
        (b"", None),
        (b"<html>", None),
    ],
)
def test_bucket_is_read_where_the_body_names_one(body: bytes, bucket: str | None) -> None:
    """The beta version's bucket is kept; any other body is no obstacle."""
    err = rate_limited(HttpAnswer(status_code=429, headers=httpx.Headers(), body=body), now=NOW)
    assert (bucket, None, 429) == (err.bucket, err.retry_after_s, err.status_code)


@pytest.mark.parametrize("wait", [b"x-rate-limited-for", b"retry-after"])
def test_repeated_header_is_no_obstacle(wait: bytes) -> None:
    """A header that comes twice is not a number, and counts as absent."""
    assert retry_after_s(httpx.Headers([(wait, b"5"), (wait, b"9")]), now=NOW) is None
