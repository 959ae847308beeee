"""
The command with which `run` starts the sandbox, and what is left of an earlier one.
"""

from typing import Final

from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.store.connection import open_store
from workers.sandbox.records import OUTCOMES

# What a sandbox for real traffic allows.
NO_LIMIT: Final = "1000/1s"


def sandbox_command(port: int, config: OutcomeConfig, *, is_any_call: bool) -> list[str]:
    """
    The command and its options. With `is_any_call` the sandbox is one for real traffic: it takes
    any call without a limit, and has all outcomes that the map names.
    """
    command = ["sandbox", "--port", str(port)]
    if not is_any_call:
        return command
    command += ["--auto-create", "--limit-mode", "off"]
    for outcome in (*config.outcomes.values(), *(rule.outcome for rule in config.rules)):
        if outcome is None:
            continue
        if outcome.name:
            command += ["--outcome", outcome.name]
        elif outcome.id not in OUTCOMES:
            command += ["--outcome", f"{outcome.id}=outcome {outcome.id}"]
    return command


async def drop_token(settings: Settings) -> None:
    """Forget the access token of the sandbox of an earlier run, which this one does not know."""
    async with open_store(settings, role="cli") as store:
        token = await store.tokens.load()
        if token is not None:
            await store.tokens.drop(token.access_token)
