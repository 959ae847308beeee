"""
The command with which `run` starts the sandbox.
"""

from typing import Final

from service.settings.outcomes import OutcomeConfig

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
        if outcome is not None:
            command += ["--outcome", outcome.name or f"{outcome.id}=outcome {outcome.id}"]
    return command
