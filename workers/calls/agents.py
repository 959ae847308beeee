"""
Agents of a call by name: who talked, and whose telephones only rang.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from service.events import CallEvent, Direction, Result
from workers.calls.event_order import Timeline
from workers.calls.latest_values import latest_value
from workers.calls.legs import START_EVENTS
from workers.calls.parties import Parties
from workers.calls.talk import MACHINES, Talk


class AgentNames(Struct, frozen=True):
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
    names = _all_names(timelines.values())
    if result is not Result.CONNECTED:
        return AgentNames(None, _sorted_names(names))
    talked = {talk.leg.agent for talk in talks if talk.leg is not parties.customer}
    agent = _who_took_it([timelines[talk.leg.leg_id] for talk in talks])
    if agent is None and len(names) == 1:
        agent = latest
    return AgentNames(agent, _sorted_names(names - talked - {agent}))


def _all_names(timelines: Iterable[Timeline]) -> set[str | None]:
    names = {ordered.event.agent for timeline in timelines for ordered in timeline}
    return names - {None}


def _who_took_it(timelines: Collection[Timeline]) -> str | None:
    """The latest agent that an event names which is no ringing: several may be rung on one leg."""
    return latest_value(timelines, _agent_beyond_ringing)


def _agent_beyond_ringing(event: CallEvent) -> str | None:
    if event.event_type in START_EVENTS:
        return None
    return event.agent


def _answering_agent(timelines: Mapping[str, Timeline], parties: Parties) -> str | None:
    """Of several telephones that rang, the one that was picked up; a mailbox took it for nobody."""
    legs = [leg for leg in (*parties.agents, parties.customer) if leg is not None]
    taken = [
        timelines[leg.leg_id] for leg in legs if leg.is_answered and leg.answered_by not in MACHINES
    ]
    return latest_value(taken, lambda event: event.agent)


def _sorted_names(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name is not None))
