"""A server of S3-compatible storage."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server on a free port of loopback, in a process of its own. Any credentials will do."""
    command = [sys.executable, "-u", "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stderr is not None
            lines = (re.search(r"Running on (http://127\.0\.0\.1:\d+)", line) for line in server.stderr)
            found = next((match for match in lines if match), None)
            if found is None:
                raise RuntimeError("the S3 server did not start")
            yield found[1]
        finally:
            server.terminate()
