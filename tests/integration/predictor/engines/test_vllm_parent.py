"""vLLM's processes when the predictor is killed."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import entry_points

from tests.fakes.alive import is_alive
from tests.fakes.conditions import until

PARENT = """
import multiprocessing, time
from kat_predictor.engines.vllm_parent import watch

def child():
    watch()
    print(multiprocessing.current_process().pid, flush=True)
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
"""


async def test_a_process_of_vllm_ends_when_its_parent_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(child), seconds=10)


def test_vllm_finds_the_watch_in_the_distribution() -> None:
    [plugin] = [plugin for plugin in entry_points(group="vllm.general_plugins") if plugin.name == "kat_parent"]
    from kat_predictor.engines.vllm_parent import watch  # noqa: PLC0415 - beside what it is compared with

    assert plugin.load() is watch
