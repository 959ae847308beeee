"""
What a receiver answered to a message that a command sent, in words.
"""

import httpx


def answer_text(answer: httpx.Response) -> str:
    """`accepted`, or the receiver's reason; empty if the answer holds none."""
    if answer.is_success:
        return "accepted"
    if "json" not in answer.headers.get("content-type", ""):
        return ""
    try:
        problem = answer.json()
    except ValueError:
        # It is of something else that listens there.
        return ""
    if not isinstance(problem, dict):
        return ""
    return str(problem.get("detail", ""))
