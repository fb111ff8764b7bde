"""Where one machine keeps its state, and the credentials that `kat up` leaves for the other commands."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr


def kat_home() -> Path:
    """`KAT_HOME`, or `~/.kat`."""
    return Path(os.environ.get("KAT_HOME") or Path.home() / ".kat")


class Credentials(BaseModel):
    """What `kat up` started, and how to talk to it."""

    model_config = ConfigDict(extra="ignore")

    metering_url: str
    predictor_url: str
    admin_token: SecretStr
    service_token: SecretStr
    api_key: SecretStr
    tenant: str


def credentials_path() -> Path:
    return kat_home() / "credentials.json"


def load_credentials() -> Credentials | None:
    """The credentials of this machine's platform, or None where `kat up` never ran.

    Raises pydantic.ValidationError for a damaged file.
    """
    try:
        return Credentials.model_validate_json(credentials_path().read_bytes())
    except FileNotFoundError:
        return None
