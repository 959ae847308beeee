"""
Whether all accounts are fit to start: what a receiver and a worker look at before anything else.

It is what the settings cannot see by themselves, because they do not know the sources.
"""

import difflib

from service.settings import Settings
from service.sources import SOURCES


def start_faults(settings: Settings) -> tuple[str, ...]:
    """
    What must be mended before a process may start, one line each; nothing if all is well.

    An installation of one account may receive before it has credentials: its worker says so by itself, and what came in waits for it.
    """
    if not settings.named:
        return source_faults(settings)
    lacking = ((account.account, _lacks(account)) for account in settings.every)
    return (*source_faults(settings), *(f"account {name}: {line}" for name, line in lacking if line))


def source_faults(settings: Settings) -> tuple[str, ...]:
    """The sources that the settings name and that do not exist, one line each."""
    own = ((each.account, line) for each in settings.named if each.settle_s != settings.settle_s for line in _unknown_sources(each))
    return (*_unknown_sources(settings), *(f"account {name}: {line}" for name, line in own))


def _unknown_sources(settings: Settings) -> list[str]:
    faults = []
    for name in settings.settle_s.by_source:
        if name not in SOURCES:
            near = difflib.get_close_matches(name, SOURCES, n=1)
            advice = f"did you mean {near[0]}?" if near else f"the sources are {', '.join(sorted(SOURCES))}"
            faults.append(f"SETTLE_S: there is no source {name}; {advice}")
    return faults


def _lacks(account: Settings) -> str | None:
    """What an account lacks to deliver what it takes, or None."""
    if account.has_buildr_credentials:
        return None
    place = "at the top of the file" if account.is_default else f"in [accounts.{account.account}]"
    cure = f"set buildr_client_id and buildr_client_secret, or buildr_access_token, {place}"
    if account.has_sources:
        return f"it has source secrets but no Buildr credentials, so that webhooks would be taken that nobody can deliver; {cure}"
    return f"it has neither source secrets nor Buildr credentials; {cure}, or take the table away"
