"""The credentials of the metering service under test."""

from __future__ import annotations

ADMIN_TOKEN = "admin-token-of-the-tests"
SERVICE_TOKEN = "service-token-of-the-tests"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ADMIN = bearer(ADMIN_TOKEN)
SERVICE = bearer(SERVICE_TOKEN)
