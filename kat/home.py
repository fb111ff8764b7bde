"""Where one machine keeps its state, and the credentials that `kat up` leaves for the other commands."""

from __future__ import annotations

import json
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

    def save(self, path: Path) -> None:
        """Write the secrets in clear, readable by the owner alone."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        clear = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.model_dump().items()
        }
        draft = path.with_suffix(".tmp")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(clear, file, indent=2)
        draft.replace(path)


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
