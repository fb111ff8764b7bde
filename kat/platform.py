"""The whole platform on one machine: metering with its embedded Postgres, the predictor, one tenant with a key."""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from pydantic import SecretStr

from kat.home import Credentials, credentials_path, kat_home, load_credentials
from kat.processes import Part, port_or_free

TENANT: Final = "demo"
_SMALL_MODEL: Final = {"KAT_THINK_BUDGET": "96", "KAT_ENGINE": os.environ.get("KAT_ENGINE", "transformers")}
"""The bundled model was never taught to end a thought: without a budget it would think until max_tokens. And it loads
in seconds where vLLM takes most of a minute, whatever model it is given."""
_METERING_READY_SECONDS: Final = 120
_PREDICTOR_READY_SECONDS: Final = 900  # a first start converts the model, or loads one of any size from disk
_STOP_SECONDS: Final = 60


class AlreadyRunning(Exception):
    """Another `kat up` uses this state folder."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. Ports: where one is taken, a free one is used instead; 0 asks for that."""

    model: str = "default"
    predictor_port: int = 8080
    metering_port: int = 8090
    env: Mapping[str, str] = field(default_factory=dict)
    """Further settings for the parts, such as KAT_MAX_CONCURRENT_REQUESTS."""


class Platform:
    """Starts the parts in order and stops them in the opposite one, so that the predictor can drain into metering."""

    def __init__(
        self,
        options: Options,
        *,
        say: Callable[[str], None] = lambda _step: None,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Prepare, start nothing. `say` is told each step, `log` the latest line of a part's log while it starts."""
        self._say = say
        self._log = log
        known = load_credentials()
        metering_port = port_or_free(options.metering_port)
        predictor_port = port_or_free(options.predictor_port)
        self.metering_url = f"http://127.0.0.1:{metering_port}"
        self.predictor_url = f"http://127.0.0.1:{predictor_port}"
        # The tokens are kept: a predictor that was killed may find events in its outbox to deliver.
        self.admin_token = known.admin_token if known else SecretStr(secrets.token_urlsafe(32))
        self.service_token = known.service_token if known else SecretStr(secrets.token_urlsafe(32))
        self.api_key = known.api_key if known else SecretStr("")
        kat = str(Path(sys.executable).with_name("kat"))
        shared = {
            **(_SMALL_MODEL if options.model == "default" else {}),
            **options.env,
            "KAT_HOME": str(kat_home()),
            "KAT_SERVICE_TOKEN": self.service_token.get_secret_value(),
            "PYTHONUNBUFFERED": "1",
            "TQDM_DISABLE": "1",  # bars are for terminals; this goes to a log
        }
        self.metering = Part(
            name="metering",
            argv=[kat, "metering", "serve"],
            env={
                **shared,
                "KAT_ADMIN_TOKEN": self.admin_token.get_secret_value(),
                "KAT_METERING_HOST": "127.0.0.1",
                "KAT_METERING_PORT": str(metering_port),
                "KAT_PREDICTOR_URL": self.predictor_url,
            },
            log=kat_home() / "logs" / "metering.log",
            ready_url=f"{self.metering_url}/readyz",
        )
        self.predictor = Part(
            name="predictor",
            argv=[kat, "predictor", "serve"],
            env={
                **shared,
                "KAT_MODEL": options.model,
                "KAT_HOST": "127.0.0.1",
                "KAT_PORT": str(predictor_port),
                "KAT_METERING_URL": self.metering_url,
            },
            log=kat_home() / "logs" / "predictor.log",
            ready_url=f"{self.predictor_url}/v2/health/ready",
        )

    def start(self) -> None:
        """Start everything and wait until it serves. Raises PartFailed; what was started is then still running."""
        self._say("starting Postgres and metering")
        self.metering.start()
        self.metering.wait_ready(timeout=_METERING_READY_SECONDS, progress=self._log)
        self._say("creating the tenant and its API key")
        with self.admin() as client:
            self._ensure_tenant(client)
        self._keep_credentials()
        self._say("starting the predictor")
        self.predictor.start()
        self.predictor.wait_ready(timeout=_PREDICTOR_READY_SECONDS, progress=self._log)

    def stop(self) -> None:
        for part in (self.predictor, self.metering):
            if part.alive():
                self._say(f"stopping {part.name}")
            part.stop(timeout=_STOP_SECONDS)

    def dead_parts(self) -> list[Part]:
        return [part for part in (self.metering, self.predictor) if not part.alive()]

    def admin(self) -> httpx.Client:
        """A client of metering with the administrator's token."""
        return httpx.Client(
            base_url=self.metering_url,
            headers={"Authorization": f"Bearer {self.admin_token.get_secret_value()}"},
            timeout=30,
        )

    def _ensure_tenant(self, client: httpx.Client) -> None:
        created = client.post("/v1/tenants", json={"id": TENANT, "name": "Demo tenant"})
        if created.status_code != httpx.codes.CONFLICT:
            created.raise_for_status()
        if not self._key_works():
            key = client.post(f"/v1/tenants/{TENANT}/keys", json={"name": "kat up"}).raise_for_status()
            self.api_key = SecretStr(key.json()["key"])

    def _key_works(self) -> bool:
        key = self.api_key.get_secret_value()
        if not key:
            return False
        answer = httpx.get(f"{self.metering_url}/v1/usage", headers={"Authorization": f"Bearer {key}"}, timeout=30)
        return answer.status_code == httpx.codes.OK

    def _keep_credentials(self) -> None:
        credentials = Credentials(
            metering_url=self.metering_url,
            predictor_url=self.predictor_url,
            admin_token=self.admin_token,
            service_token=self.service_token,
            api_key=self.api_key,
            tenant=TENANT,
        )
        credentials.save(credentials_path())


@contextmanager
def sole_user_of_home() -> Iterator[None]:
    """Hold the state folder. Raises AlreadyRunning when another process does."""
    home = kat_home()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(home / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another `kat up` uses {home}; set KAT_HOME to run a second one") from None
        yield
    finally:
        os.close(descriptor)
