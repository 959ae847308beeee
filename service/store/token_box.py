"""
Buildr's access token as it is stored: encrypted, so that neither the file of Redis nor a backup of
it opens the Buildr account.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

# That of XSalsa20.
KEY_BYTES: Final = 32
# Makes this key differ from any other that is made of the same secret.
PURPOSE: Final = b"buildr token"


@dataclass(frozen=True, slots=True)
class TokenBox:
    """Encrypts and decrypts with one key (XSalsa20 and Poly1305)."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, client_secret: str | None) -> Self:
        """
        The box of all processes with this client secret, by which the token was obtained. Without
        one nothing is stored that another process could read.
        """
        if client_secret is None:
            return cls(secrets.token_bytes(KEY_BYTES))
        # The secret is random and long: no slow derivation is needed.
        digest = hashlib.blake2b(client_secret.encode(), digest_size=KEY_BYTES, person=PURPOSE)
        return cls(digest.digest())

    def seal(self, text: bytes) -> bytes:
        """The text, encrypted with a new nonce."""
        # Loaded on use: most commands need no token.
        from nacl.secret import SecretBox

        return bytes(SecretBox(self.key).encrypt(text))

    def open(self, sealed: bytes) -> bytes | None:
        """
        The text, or None if it was encrypted with another key, as after a rotation, or is damaged.
        """
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox

        try:
            return SecretBox(self.key).decrypt(sealed)
        except (CryptoError, ValueError):
            return None
