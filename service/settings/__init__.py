"""
Every setting of the service: read once, typed, all faults reported together; one `Settings` for
each account, and one `Installation` that holds them.
"""

from service.settings.accounts import PER_ACCOUNT
from service.settings.installation import Installation
from service.settings.load import LOCAL_NAME, load_installation, names
from service.settings.model import Settings
from service.settings.redis_socket import socket_path
from service.settings.types import Budget, SettleTimes

__all__ = [
    "LOCAL_NAME",
    "PER_ACCOUNT",
    "Budget",
    "Installation",
    "Settings",
    "SettleTimes",
    "load_installation",
    "names",
    "socket_path",
]
