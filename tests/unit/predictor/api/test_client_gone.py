"""A client that leaves stops the engine at once, and what was generated is accounted."""

import asyncio
from typing import Any

import pytest

from kat.usage_event import Mode, Segment, Status, Tokens
from tests.fakes import kserve_routes  # noqa: F401 - its import takes seconds, too long for a test's time-out
from tests.fakes.conditions import until
from tests.fakes.engine import Reply, ScriptedEngine
from tests.fakes.predictor import MODEL, Connection
from tests.unit.predictor.api.conftest import MakePredictor

JUDGE = "Quite hard"
THINK = f"{JUDGE}.\n</judge>\n\n<think_on>\n<think>\nLet me"
ANSWER = f"{THINK} see.\n</think>\n\n<answer>\nForty-"
WHOLE = f"{ANSWER}two.\n</answer>"
pytestmark = pytest.mark.timeout(30)  # what is wrong here hangs

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}


def _tokens(text: str) -> int:
    return len(ScriptedEngine().encode(text))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("said", "mode", "begun"),
    [
        (JUDGE, Mode.UNDECIDED, [Segment.JUDGE]),
        (THINK, Mode.ON, [Segment.JUDGE, Segment.THINK]),
        (ANSWER, Mode.ON, [Segment.JUDGE, Segment.THINK, Segment.ANSWER]),
    ],
    ids=["judge", "think", "answer"],
)
async def test_leaving_in_any_segment_stops_the_engine_and_is_accounted(
    make_predictor: MakePredictor, stream: bool, said: str, mode: Mode, begun: list[Segment]
) -> None:
    engine = ScriptedEngine([Reply(WHOLE, stall_after=_tokens(said))])
    predictor = await make_predictor(engine)
    connection = Connection(predictor.app, "/v1/chat/completions", {**CHAT, "stream": stream})
    await engine.stalled.wait()
    await connection.leave()
    (call,) = engine.calls
    event = await predictor.event()
    tokens = event.data.tokens
    assert call.closed
    assert not call.finished
    assert (event.data.status, event.data.mode, event.data.finish_reason) == (Status.ABORTED, mode, None)
    assert tokens.completion == call.tokens == _tokens(said)
    assert tokens.prompt == _tokens(call.prompt)
    assert [segment for segment in (Segment.JUDGE, Segment.THINK, Segment.ANSWER) if getattr(tokens, segment)] == begun


async def test_nothing_is_in_flight_after_the_client_has_left(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine([Reply(WHOLE, stall_after=1)])
    predictor = await make_predictor(engine)
    connection = Connection(predictor.app, "/v1/chat/completions", CHAT)
    await engine.stalled.wait()
    assert predictor.metric("kat_requests_in_flight", model=MODEL, mode="undecided") == 1
    await connection.leave()
    assert predictor.metric("kat_requests_in_flight", model=MODEL, mode="undecided") == 0
    assert predictor.admission.running == 0


async def test_leaving_while_waiting_is_an_aborted_event_without_tokens(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine([Reply(WHOLE, stall_after=1)])
    predictor = await make_predictor(engine, max_concurrent_requests=1)
    running = Connection(predictor.app, "/v1/chat/completions", CHAT)
    await engine.stalled.wait()
    waiting = Connection(predictor.app, "/v1/chat/completions", CHAT)
    await until(lambda: predictor.admission.queued)
    await waiting.leave()
    assert predictor.admission.queued == 0
    assert len(engine.calls) == 1
    [left] = await predictor.events()
    assert (left.data.status, left.data.tokens) == (Status.ABORTED, Tokens())
    await running.leave()


async def test_a_place_of_one_who_left_goes_to_one_who_waits(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine([Reply(WHOLE, stall_after=1), WHOLE])
    predictor = await make_predictor(engine, max_concurrent_requests=1)
    running = Connection(predictor.app, "/v1/chat/completions", CHAT)
    await engine.stalled.wait()
    waiting = Connection(predictor.app, "/v1/chat/completions", CHAT)
    await running.leave()
    await asyncio.wait((waiting.task,), return_when=asyncio.FIRST_COMPLETED)
    assert waiting.sent[0]["status"] == 200


async def test_a_server_that_gives_up_on_a_request_writes_its_event_first(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine([Reply(WHOLE, stall_after=1)])
    predictor = await make_predictor(engine)
    connection = Connection(predictor.app, "/v1/chat/completions", {**CHAT, "stream": True})
    await engine.stalled.wait()
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.task
    assert (await predictor.event()).data.status is Status.ABORTED
    assert engine.calls[0].closed


async def test_leaving_a_kserve_request_stops_the_engine_too(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine([Reply(WHOLE, stall_after=1)])
    predictor = await make_predictor(engine, kserve=True)
    connection = Connection(predictor.app, f"/v1/models/{MODEL}:predict", {"instances": ["Hello?"]})
    await engine.stalled.wait()
    await connection.leave()
    assert engine.calls[0].closed
    assert (await predictor.event()).data.status is Status.ABORTED


async def test_a_client_that_leaves_after_the_last_byte_has_a_completed_request(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([WHOLE]))
    connection = Connection(predictor.app, "/v1/chat/completions", {**CHAT, "stream": True})
    await until(lambda: connection.text.endswith("[DONE]\n\n"))
    await connection.leave()
    assert (await predictor.event()).data.status is Status.OK
