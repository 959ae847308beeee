"""
What Redis has to confirm beside its own answer, where `REDIS_WAIT` asks for it: that it has written
to disk, or that replicas have it too.
"""

from collections.abc import Sequence
from typing import Final, Self

from msgspec import Struct
from redis.exceptions import ResponseError

# Below the time that the receiver has for an answer (`ACCEPT_TIMEOUT_S`).
WAIT_MS: Final = 1000
# Scripts after which somebody relies on what was written: a sender, or Buildr.
CONFIRMED_SCRIPTS: Final = frozenset({"accept", "accept_many", "keep_failed", "commit"})


class NotConfirmed(ResponseError):
    """Raised when a write was not confirmed in time; Redis may have it all the same."""


class Confirmation(Struct, frozen=True, kw_only=True):
    """Whether the write must be on Redis's disk, and on how many replicas."""

    on_disk: bool = False
    replicas: int = 0

    @classmethod
    def of(cls, text: str) -> Self:
        """Read `REDIS_WAIT`: `aof`, `replicas:N`, or both with a comma between; empty for none."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        counts = [int(part.partition(":")[2]) for part in parts if part.startswith("replicas:")]
        return cls(on_disk="aof" in parts, replicas=sum(counts))

    @property
    def commands(self) -> list[tuple[str | int, ...]]:
        """What to send after the writes, on the same connection."""
        commands: list[tuple[str | int, ...]] = []
        if self.on_disk:
            commands.append(("WAITAOF", 1, 0, WAIT_MS))
        if self.replicas:
            commands.append(("WAIT", self.replicas, WAIT_MS))
        return commands

    def check(self, answers: Sequence[object]) -> None:
        """Read the answers to `commands`. Raises `NotConfirmed`, or the error of the connection."""
        for answer in answers:
            if isinstance(answer, ResponseError):
                # Not as it is: an error answer would be taken for one about the call's record.
                raise NotConfirmed(f"MISCONF no confirmation: {answer}") from answer
            if isinstance(answer, Exception):
                raise answer
        remaining = list(answers)
        if self.on_disk:
            answer = remaining.pop(0)
            if not isinstance(answer, list) or int(answer[0]) < 1:
                raise NotConfirmed("MISCONF the append-only file was not written in time")
        if self.replicas and int(str(remaining.pop(0))) < self.replicas:
            raise NotConfirmed("NOREPLICAS too few replicas have confirmed in time")


NO_CONFIRMATION: Final = Confirmation()
