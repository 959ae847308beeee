"""
The words about a call that no Buildr call is known for.
"""

from typing import Final

NO_LINK: Final = "No message and no link names the Buildr call."
LINK: Final = "Look its id up in Buildr and set a link: "


def between(reason: str) -> str:
    """What such a reason says beside the two, like which expected calls fit; often nothing."""
    # Reasons are stored, and those of another kind have neither of the two.
    return reason.partition(LINK)[0].removeprefix(NO_LINK).strip()
