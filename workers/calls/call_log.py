"""
Events that were read from a vendor's call log: they count only where the webhooks do not show how a
call ended.

A call log knows less than webhooks: it may lack whether two legs were joined, or a code of the
exchange. So it fills a gap and never corrects.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from service.events import CallEvent


def split_logged(events: Iterable[CallEvent]) -> tuple[list[CallEvent], list[CallEvent]]:
    """
    The events of webhooks, and those of the call log without their mark: an event that both report
    is one event.
    """
    reported: list[CallEvent] = []
    logged: list[CallEvent] = []
    for event in events:
        if event.is_logged:
            logged.append(replace(event, is_logged=None))
        else:
            reported.append(event)
    return reported, logged
