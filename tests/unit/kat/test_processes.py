"""A part is a child process: ready when it answers, and its log tells why when it does not."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kat.processes import Part, PartFailed, port_or_free

SERVER = """
import http.server, sys
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ok).serve_forever()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SERVER

MakePart = Callable[[str], Part]


@pytest.fixture
def make_part(tmp_path: Path) -> Iterator[MakePart]:
    made: list[Part] = []

    def make(code: str) -> Part:
        port = port_or_free(0)
        argv = [sys.executable, "-c", code, str(port)]
        part = Part("part", argv, {}, tmp_path / "part.log", f"http://127.0.0.1:{port}/")
        made.append(part)
        return part

    yield make
    for part in made:
        part.kill()


def test_a_part_is_ready_once_it_answers(make_part: MakePart) -> None:
    part = make_part(SERVER)
    part.start()
    part.wait_ready(timeout=30)
    assert part.alive()


def test_a_part_that_ends_by_itself_fails_with_its_exit_code_and_log(make_part: MakePart) -> None:
    part = make_part("import sys; print('no such model'); sys.exit(3)")
    part.start()
    with pytest.raises(PartFailed, match=r"exit code 3:\nno such model"):
        part.wait_ready(timeout=30)


def test_a_part_that_never_answers_fails_in_time(make_part: MakePart) -> None:
    part = make_part("import threading; threading.Event().wait()")
    part.start()
    with pytest.raises(PartFailed, match="not ready within 0 s"):
        part.wait_ready(timeout=0.3)


def test_a_part_is_stopped_by_sigterm(make_part: MakePart) -> None:
    part = make_part(SERVER)
    part.start()
    part.wait_ready(timeout=30)
    assert (part.stop(timeout=10), part.alive()) == (-15, False)


def test_a_part_that_ignores_sigterm_is_killed(make_part: MakePart) -> None:
    part = make_part(STUBBORN)
    part.start()
    part.wait_ready(timeout=30)
    assert (part.stop(timeout=0.3), part.alive()) == (-9, False)


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert port_or_free(taken.getsockname()[1]) != taken.getsockname()[1]
