"""
The words about a call that no Buildr call is known for.
"""

from collections.abc import Mapping
from typing import Final

NO_LINK: Final = "No message and no link names the Buildr call."
DAMAGED_LINK: Final = (
    "What is stored of this call's link cannot be read, "
    "and nothing else may say which Buildr call it is."
)
LINK: Final = "Look its id up in Buildr and set a link: "


def between(reason: str) -> str:
    """What such a reason says beside the two, like which expected calls fit; often nothing."""
    # Reasons are stored, and those of another kind have neither of the two.
    return reason.partition(LINK)[0].removeprefix(NO_LINK).strip()


OTHER: Final = "other"
NOT_NAMED: Final = "not named"
# Why no Buildr call is known, by the words of the reason.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    NOT_NAMED: (),
    "none expected fits": ("No call that fits is expected",),
    "several expected fit": ("fit equally well", "too many to choose"),
    "names several": ("name different Buildr calls",),
    "link cannot be read": (DAMAGED_LINK,),
    OTHER: (),
}


def kind_of(reason: str) -> str:
    """Which of `KINDS` a reason is."""
    for kind, phrases in KINDS.items():
        if any(phrase in reason for phrase in phrases):
            return kind
    if reason.startswith(NO_LINK) and not between(reason):
        return NOT_NAMED
    return OTHER
