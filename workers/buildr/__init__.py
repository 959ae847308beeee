"""
Buildr's API: the client, its access tokens, and the types of its answers.
"""

from workers.buildr.client import BuildrClient, RequestReport
from workers.buildr.models import CallOutcome, UpdatedCall
from workers.buildr.tokens import (
    ReadyToken,
    SharedToken,
    TokenProvider,
    TokenStore,
    token_provider,
)

__all__ = [
    "BuildrClient",
    "CallOutcome",
    "ReadyToken",
    "RequestReport",
    "SharedToken",
    "TokenProvider",
    "TokenStore",
    "UpdatedCall",
    "token_provider",
]
