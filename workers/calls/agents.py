"""
Agents of a call by name: who talked, and whose telephones only rang.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.events import Direction, Result
from workers.calls.event_order import Timeline
from workers.calls.latest_values import latest_value
from workers.calls.parties import Parties
from workers.calls.talk import MACHINES, Talk


@dataclass(frozen=True, slots=True)
class AgentNames:
    """`agent` talked, or called; `rang` are those who were rung and did not, by name."""

    agent: str | None
    rang: tuple[str, ...] = ()


def read_agents(
    timelines: Mapping[str, Timeline],
    parties: Parties,
    *,
    result: Result | None,
    talks: Sequence[Talk],
) -> AgentNames:
    """
    The agents of a call; `timelines` go by leg id.

    An inbound call that nobody took has no agent, however many telephones rang. Of an outbound call
    the agent is who placed it.
    """
    latest = latest_value(timelines.values(), lambda event: event.agent)
    if latest is None or result is None or parties.direction is not Direction.INBOUND:
        return AgentNames(_answering_agent(timelines, parties) or latest)
    talked = None
    if result is Result.CONNECTED:
        taken = [timelines[talk.leg.leg_id] for talk in talks]
        talked = latest_value(taken, lambda event: event.agent) or latest
    names = {ordered.event.agent for timeline in timelines.values() for ordered in timeline}
    return AgentNames(talked, _sorted_names(names - {talked}))


def _answering_agent(timelines: Mapping[str, Timeline], parties: Parties) -> str | None:
    """Of several telephones that rang, the one that was picked up; a mailbox took it for nobody."""
    legs = [leg for leg in (*parties.agents, parties.customer) if leg is not None]
    taken = [
        timelines[leg.leg_id] for leg in legs if leg.is_answered and leg.answered_by not in MACHINES
    ]
    return latest_value(taken, lambda event: event.agent)


def _sorted_names(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name is not None))
