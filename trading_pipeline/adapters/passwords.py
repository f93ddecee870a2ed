"""Passwords of operators by Argon2id, with the library's own parameters of today."""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import SecretStr


class Argon2Passwords:
    """Implements ports.PasswordHasher. Source: RFC 9106, the low-memory choice (64 MiB, 3 passes, 4 lanes)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()

    def hash(self, password: SecretStr) -> str:
        """What is kept of a password; never the same twice."""
        return self._hasher.hash(_typed(password))

    def fits(self, kept: str, password: SecretStr) -> bool:
        """True when the password is the one that was kept; what is kept in no known form fits nothing."""
        try:
            return self._hasher.verify(kept, _typed(password))
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, kept: str) -> bool:
        """True when it was kept by other parameters than those of today."""
        return self._hasher.check_needs_rehash(kept)


def _typed(password: SecretStr) -> str:
    """One form for what keyboards and systems write differently (é as one character or as two)."""
    return unicodedata.normalize("NFC", password.get_secret_value())
