"""
Buildr's API: the client, its access tokens, and the types of its answers.
"""

from workers.buildr.auth import ReadyToken, SharedToken, TokenProvider, TokenStore, token_provider
from workers.buildr.client import BuildrClient
from workers.buildr.types import CallOutcome, UpdatedCall

__all__ = [
    "BuildrClient",
    "CallOutcome",
    "ReadyToken",
    "SharedToken",
    "TokenProvider",
    "TokenStore",
    "UpdatedCall",
    "token_provider",
]
