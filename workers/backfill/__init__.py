"""
Back-fill: calls that no webhook reported, or whose end none reported, are read from the call log of
the telephony system's own API and fed in as messages.

`LOGS` are the sources whose call log can be read.
"""

from workers.backfill.sources import LOGS, LogSource

__all__ = ["LOGS", "LogSource"]
