"""
What the sandbox keeps of its requests.
"""

from workers.sandbox.request_log import MOST_BODY_BYTES, RequestLog


def test_bodies_take_a_bounded_room() -> None:
    """The oldest are dropped first, and are measured still; requests stay in the list."""
    log = RequestLog(budgets=(), most_bodies_bytes=10)
    bodies = [b"", b'"a"', b"x" * (MOST_BODY_BYTES + 1), b'"bcd"', b'"efg"', b""]
    for number, body in enumerate(bodies):
        log.keep_body(log.begin("PATCH", "/", query="", now_ns=number), body)
    assert [None, {"bytes": 3}, {"bytes": MOST_BODY_BYTES + 1}, "bcd", "efg", None] == [
        entry.as_json()["body"] for entry in log.entries
    ]
    log.clear()
    few = RequestLog(budgets=(), most=1)
    first = few.begin("PATCH", "/", query="", now_ns=1)
    few.keep_body(first, b'"a"')
    few.keep_body(few.begin("PATCH", "/", query="", now_ns=2), b'"b"')
    # That of a request that is in the list no more.
    assert b"" == first.body
    log.keep_body(log.begin("PATCH", "/", query="", now_ns=9), b'"0123456"')
    assert ["0123456"] == [entry.as_json()["body"] for entry in log.entries]
