"""
The spool of this machine's receivers, for `status` and `check`.
"""

from datetime import UTC, datetime

from msgspec import Struct

from service.counts import counted
from service.settings import Settings
from service.spool.messages import Depth
from service.spool.status import SpoolStatus, assess_folder, read_spool


class SpoolReport(Struct, frozen=True):
    """What of one account waits in the folder that its settings name; nothing if there is none."""

    depth: Depth
    age_s: float | None

    def as_dict(self) -> dict[str, object]:
        """For JSON: messages, oldest_age_s, set_aside."""
        return {
            "messages": self.depth.messages,
            "oldest_age_s": self.age_s,
            "set_aside": self.depth.set_aside,
        }

    @property
    def text(self) -> str:
        """For the table, and for a line of its own."""
        text = str(self.depth.messages)
        if self.age_s is not None:
            text += f", the oldest for {self.age_s} s"
        if self.depth.set_aside:
            text += f"; {self.depth.set_aside} set aside"
        return text


def report_spool(settings: Settings) -> SpoolReport | None:
    """The spool of an account; None if it is off, or this user may not read it."""
    status = _read(settings)
    if status is None:
        return None
    depth = status.depths.get(settings.account, Depth())
    return SpoolReport(depth, depth.age_s(datetime.now(UTC)))


class SpoolVerdict(Struct, frozen=True):
    """The verdict of `check`; `is_warning`: it works, and an operator should know it."""

    is_fine: bool
    detail: str
    is_warning: bool = False


def judge_spool(settings: Settings) -> SpoolVerdict:
    """Whether the receiver of this machine can bridge a Redis that is away."""
    folder = settings.spool_folder
    if folder is None:
        detail = (
            "SPOOL_DIR is off: while Redis is away webhooks are answered 503, and those of senders "
            "that never send again are lost"
        )
        return SpoolVerdict(is_fine=True, detail=detail, is_warning=True)
    place = assess_folder(folder)
    if place.fault is not None:
        return SpoolVerdict(is_fine=False, detail=f"{place.fault}: set SPOOL_DIR")
    status = _read(settings)
    if status is None:
        return SpoolVerdict(is_fine=False, detail=f"this user may not read {folder}")
    faults = _faults(status)
    if faults:
        return SpoolVerdict(is_fine=False, detail=f"{folder}: {'; '.join(faults)}")
    waiting = sum(depth.messages for depth in status.depths.values())
    messages = counted(waiting, "message waits", "messages wait")
    detail = f"{folder} can be written to, {messages} there"
    if place.notice is not None:
        return SpoolVerdict(is_fine=True, detail=f"{detail}; {place.notice}", is_warning=True)
    return SpoolVerdict(is_fine=True, detail=detail)


def _faults(status: SpoolStatus) -> list[str]:
    set_aside = sum(depth.set_aside for depth in status.depths.values())
    faults = []
    if set_aside:
        faults.append(
            f"{counted(set_aside, 'message is', 'messages are')} set aside, "
            "see spool.row_set_aside in the receiver's log"
        )
    if status.broken_files:
        files = counted(status.broken_files, "file was", "files were")
        faults.append(f"{files} put aside as broken (*.broken)")
    if status.unreadable_files:
        faults.append(f"{counted(status.unreadable_files, 'file', 'files')} cannot be read")
    return faults


def _read(settings: Settings) -> SpoolStatus | None:
    if settings.spool_folder is None:
        return None
    try:
        return read_spool(settings.spool_folder)
    except OSError:
        return None
