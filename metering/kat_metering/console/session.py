"""A visitor's session: the credentials they signed in with, sealed into a cookie that only this service can read.

Nothing is kept on the server, so any replica that shares the secret serves any visitor. The credentials themselves are
checked anew for every page: a key that is revoked ends its sessions.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

COOKIE: Final = "kat_console"
LONGEST_TOKEN: Final = 2_500
"""Characters. A browser keeps cookies of 4096 bytes, and sealing adds a third."""
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie holds."""

    token: SecretStr
    """An API key, the administrators' token, or a person's."""
    form_token: str
    """Comes with every form of a page; another site cannot know it."""

    @classmethod
    def begin(cls, token: str) -> Session:
        """A fresh session of whoever holds the token."""
        return cls(SecretStr(token), secrets.token_urlsafe(16))

    def sent_form(self, form_token: str) -> bool:
        """Whether a form comes from a page of this session."""
        return hmac.compare_digest(form_token.encode(), self.form_token.encode())


class Seal:
    """Encrypts, signs and dates sessions.

    Args:
        secret: Shared by all replicas; None makes one that ends with the process, and with it all sessions.
        lifetime: How long a session is good for.
    """

    def __init__(self, secret: SecretStr | None, lifetime: timedelta) -> None:
        material = secrets.token_bytes(_KEY_BYTES) if secret is None else secret.get_secret_value().encode()
        key = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"kat console session").derive(material)
        self._fernet = Fernet(base64.urlsafe_b64encode(key))
        self.lifetime = lifetime

    def close(self, session: Session, *, now: datetime) -> str:
        """The cookie's value."""
        body = orjson.dumps([session.token.get_secret_value(), session.form_token])
        return self._fernet.encrypt_at_time(body, int(now.timestamp())).decode()

    def open(self, cookie: str, *, now: datetime) -> Session | None:
        """The session in a cookie; None where it was forged, sealed with another secret, or is too old."""
        try:
            body = self._fernet.decrypt_at_time(
                cookie.encode(), int(self.lifetime.total_seconds()), int(now.timestamp())
            )
        except InvalidToken:
            return None
        token, form_token = orjson.loads(body)
        return Session(SecretStr(token), form_token)
