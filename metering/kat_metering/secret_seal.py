"""Secrets that must be read again, to sign with: sealed by a key that is not in the database."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from kat_metering.errors import SealedSecretError

_MARK: Final = "sealed:"
_KEY_BYTES: Final = 32


class SecretSeal:
    """Encrypts and signs secrets (Fernet: AES-128-CBC and HMAC-SHA256).

    Args:
        keys: The first seals, all open. Without any, secrets are kept as they are.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = [_fernet(key) for key in keys]

    def close(self, secret: str) -> str:
        """What is kept of a secret."""
        return _MARK + self._keys[0].encrypt(secret.encode()).decode() if self._keys else secret

    def open(self, kept: str) -> str:
        """The secret, also one that was kept before there was a key. Raises SealedSecretError."""
        if not kept.startswith(_MARK):
            return kept
        return _opened(kept, self._keys)

    def renewed(self, kept: str) -> str | None:
        """What is to be kept instead, by the first key; None where it is so already. Raises SealedSecretError."""
        if not self._keys:
            return None
        if kept.startswith(_MARK):
            try:
                _opened(kept, self._keys[:1])
            except SealedSecretError:
                return self.close(_opened(kept, self._keys))
            return None
        return self.close(kept)


def _fernet(key: SecretStr) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"kat webhook secret")
    return Fernet(base64.urlsafe_b64encode(derived.derive(key.get_secret_value().encode())))


def _opened(kept: str, keys: list[Fernet]) -> str:
    for key in keys:
        with suppress(InvalidToken):
            return key.decrypt(kept.removeprefix(_MARK).encode()).decode()
    raise SealedSecretError(
        "The secret was sealed with a key that is not in KAT_WEBHOOK_KEYS: put it back, or renew it."
    )
