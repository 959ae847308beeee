"""
`[[unknown_end]]` of `buildr-calls.toml`: after which time a call whose end never came gets the
result `unknown_end`.
"""

from collections.abc import Iterable
from typing import Final

from pydantic import Field

from service.settings.toml_values import SourceSlugs, StageNames, StrictTable

MINUTE_S: Final = 60
# No telephone call goes on for so long without a message.
DEFAULT_AFTER_S: Final = 24 * 3600.0
WEEK_MINUTES: Final = 7 * 24 * 60


class UnknownEnd(StrictTable):
    """
    The time for calls of these sources that stay in one of these stages; of any source or stage
    where none is named.
    """

    after_minutes: float = Field(gt=0, le=WEEK_MINUTES)
    source: SourceSlugs = ()
    stage: StageNames = ()

    def fits(self, source: str, stage: str) -> bool:
        """Whether it is for such a call."""
        return source in (self.source or (source,)) and stage in (self.stage or (stage,))


def after_s(entries: Iterable[UnknownEnd], source: str, stage: str) -> float | None:
    """
    Seconds after its last message at which a call of this source and stage gets the result
    `unknown_end`: those of the first entry that fits, None if there is none.
    """
    for entry in entries:
        if entry.fits(source, stage):
            return entry.after_minutes * MINUTE_S
    return None
