"""
Every setting of the service: read once, typed, all faults reported together; one whole `Settings`
for each account.
"""

from service.settings.accounts import PER_ACCOUNT
from service.settings.load import LOCAL_NAME, load, names
from service.settings.model import Settings, socket_path
from service.settings.types import Budget, SettleTimes

__all__ = [
    "LOCAL_NAME",
    "PER_ACCOUNT",
    "Budget",
    "Settings",
    "SettleTimes",
    "load",
    "names",
    "socket_path",
]
