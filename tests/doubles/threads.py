"""
Runs a function in a thread of its own.
"""

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> T:
    """
    What a function returns or raises, run in another thread, in a copy of this context.

    Python 3.11 stops tracing the frames above an event loop in which a task was cancelled
    (https://github.com/python/cpython/issues/106749): here those are the thread's, and not those of
    the test, whose lines would count as not run.
    """
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(context.run, function).result()
