"""
What is read from an HTTP request before anything is believed.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import PayloadTooLarge, ReadTimeout
from service.receiver.requests import (
    BodyLimits,
    SenderGone,
    check_length,
    read_body,
    read_headers,
)

LIMITS = BodyLimits(max_bytes=10, timeout_s=5)


def _receive(
    *messages: MutableMapping[str, object],
) -> Callable[[], Awaitable[MutableMapping[str, object]]]:
    waiting = list(messages)

    async def receive() -> MutableMapping[str, object]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


def _part(body: bytes, *, more: bool = False) -> dict[str, object]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_headers_are_lower_case_with_all_values_in_order() -> None:
    """A repeated header keeps every value."""
    scope = {"headers": [(b"X-A", b"1"), (b"x-a", b"2"), (b"Host", b"h")]}
    assert {"x-a": ("1", "2"), "host": ("h",)} == read_headers(scope)


@pytest.mark.parametrize(
    ("length", "is_refused"),
    [("10", False), ("11", True), ("9" * 5000, True), ("-5", False), ("x", False), ("", False)],
)
def test_announced_length_is_held_to_the_limit(length: str, is_refused: bool) -> None:
    """
    A body that announces itself as too large is refused unread; nonsense is left to the reading.
    """
    headers = {"content-length": (length,)}
    if is_refused:
        with pytest.raises(PayloadTooLarge):
            check_length(headers, LIMITS)
    else:
        check_length(headers, LIMITS)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=6))
def test_body_is_whole_up_to_the_limit_and_refused_beyond(parts: list[bytes]) -> None:
    """
    However a body is cut into parts, up to the limit it is read whole, and one byte more is
    refused.
    """
    receive = _receive(
        *(_part(part, more=number < len(parts) - 1) for number, part in enumerate(parts))
    )
    body = b"".join(parts)
    if len(body) > LIMITS.max_bytes:
        with pytest.raises(PayloadTooLarge):
            asyncio.run(_read(receive))
    else:
        assert body == asyncio.run(_read(receive))


async def _read(receive: Callable[[], Awaitable[MutableMapping[str, object]]]) -> bytes:
    return await read_body(receive, LIMITS)


async def test_body_is_not_read_on_beyond_the_limit() -> None:
    """An endless body is left as soon as it is too large."""
    taken = 0

    async def receive() -> MutableMapping[str, object]:
        nonlocal taken
        taken += 1
        return _part(b"12345678", more=True)

    with pytest.raises(PayloadTooLarge):
        await read_body(receive, LIMITS)
    assert 2 == taken


async def test_body_that_does_not_come_is_given_up() -> None:
    """A sender that stops in the middle is waited for no longer than the limit."""
    with pytest.raises(ReadTimeout, match="3 bytes"):
        await read_body(
            _receive(_part(b"abc", more=True)), BodyLimits(max_bytes=10, timeout_s=0.02)
        )


async def test_sender_that_leaves_differs_from_one_that_is_slow() -> None:
    """A closed connection is no timeout."""
    with pytest.raises(SenderGone):
        await read_body(_receive(_part(b"abc", more=True), {"type": "http.disconnect"}), LIMITS)
