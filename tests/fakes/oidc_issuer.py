"""An OpenID provider on loopback, over real HTTP and with real keys."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "kat-metering"
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Issuer:
    """Publishes keys and signs tokens with them. `down` makes it answer 503."""

    def __init__(self) -> None:
        self.url = ""
        self.down = False
        self.calls_itself: str | None = None
        self.fetched: list[str] = []
        self._keys: dict[str, tuple[str, _Key]] = {}

    def add_rsa_key(self, kid: str) -> None:
        self._keys[kid] = ("RS256", rsa.generate_private_key(public_exponent=65_537, key_size=2_048))

    def add_ec_key(self, kid: str) -> None:
        self._keys[kid] = ("ES256", ec.generate_private_key(ec.SECP256R1()))

    def withdraw(self, kid: str) -> None:
        del self._keys[kid]

    def token(self, kid: str = "first", **claims: Any) -> str:
        """A token of alice that holds for an hour. A claim that is None is left out, a timedelta is so long from now."""
        algorithm, key = self._keys[kid]
        return jwt.encode(self.claims(**claims), key, algorithm, headers={"kid": kid})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        all_claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "user-1",
            "email": "alice@example.com",
            "iat": now,
            "exp": now + timedelta(hours=1),
            **changes,
        }
        return {
            name: now + value if isinstance(value, timedelta) else value
            for name, value in all_claims.items()
            if value is not None
        }

    def token_signed_with_the_public_key(self, kid: str) -> str:
        """What everybody can make: an HMAC whose secret is the key that is published. The library refuses to help."""
        header = json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid})
        claims = {name: int(v.timestamp()) if isinstance(v, datetime) else v for name, v in self.claims().items()}
        signed = f"{_base64url(header.encode())}.{_base64url(json.dumps(claims).encode())}"
        pem = self._keys[kid][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return f"{signed}.{_base64url(hmac.digest(pem, signed.encode(), 'sha256'))}"

    def answer(self, path: str) -> dict[str, Any] | None:
        self.fetched.append(path)
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.calls_itself or self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            return {"keys": [self._published(kid) for kid in self._keys]}
        return None

    def _published(self, kid: str) -> dict[str, Any]:
        algorithm, key = self._keys[kid]
        public = (
            RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            if isinstance(key, rsa.RSAPrivateKey)
            else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        )
        return {**public, "kid": kid, "use": "sig", "alg": algorithm}


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def serving_issuer() -> Iterator[Issuer]:
    """A provider with one RSA key, `first`."""
    issuer = Issuer()
    issuer.add_rsa_key("first")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = issuer.answer(self.path)
            status = 503 if issuer.down else 404 if document is None else 200
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Tests have nothing to read here."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
