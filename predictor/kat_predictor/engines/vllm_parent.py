"""vLLM's processes end with the predictor, however that ends.

vLLM's engine process does not notice when the process that started it is killed: it stays, and keeps its GPUs. vLLM
calls `watch` in each of its processes, because the distribution names it under `vllm.general_plugins`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

GRACE_SECONDS = 10.0
"""What a process gets to free its devices by itself."""


def watch() -> None:
    """Have this process end when its parent does. Does nothing in a process that Python's multiprocessing did not start."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="parent watch", daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
