"""The response's usage, the usage event and the metrics say the same, whatever happens."""

from typing import Any

import pytest

from kat.usage_event import Mode, ModeSource, Segment, Status
from tests.fakes.engine import Reply, ScriptedEngine
from tests.fakes.predictor import KEY_ID, MODEL, Predictor
from tests.unit.predictor.api.conftest import MakePredictor

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two.\n</answer>"
OFF = "This is easy.\n</judge>\n\n<think_off>\n<answer>\nHello!\n</answer>"
LOST = "No tag at all, and no end"
GARBLED = "x\n</judge>\n<think_on>\n<think>\n<answer>\nwhat </answer> more </think>"


def _counted(predictor: Predictor, mode: Mode) -> dict[str, int]:
    labels = {"model": MODEL, "mode": mode.value}
    return {segment: int(predictor.metric("kat_tokens_total", segment=segment, **labels)) for segment in Segment}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("reply", [ON, OFF, LOST, GARBLED])
@pytest.mark.parametrize("parameters", [{}, {"max_tokens": 5}, {"thinking_token_budget": 2}, {"stop": "a"}])
@pytest.mark.parametrize("judges", [True, False], ids=["native", "emulated"])
async def test_usage_event_and_metrics_are_the_same_numbers(
    make_predictor: MakePredictor, judges: bool, parameters: dict[str, Any], reply: str, stream: bool
) -> None:
    predictor = await make_predictor(ScriptedEngine([reply], judges=judges, cached_prompt_tokens=2))
    if stream:
        usage = (await predictor.chunks(stream_options={"include_usage": True}, **parameters))[-1]["usage"]
    else:
        usage = (await predictor.chat(**parameters)).json()["usage"]
    data = (await predictor.event()).data
    generated = sum(call.tokens for call in predictor.engine.calls)
    assert usage["kat_segments"] == data.tokens.model_dump() == _counted(predictor, data.mode)
    assert usage["completion_tokens"] == data.tokens.completion == generated


@pytest.mark.parametrize("judges", [True, False], ids=["native", "emulated"])
@pytest.mark.parametrize("effort", ["none", "high", None])
async def test_a_request_is_decided_for_the_mode_that_its_event_tells(
    make_predictor: MakePredictor, effort: str | None, judges: bool
) -> None:
    """Whether the mode was judged or forced."""
    predictor = await make_predictor(ScriptedEngine([ON], judges=judges))
    await predictor.chat(**({"reasoning_effort": effort} if effort else {}))
    used = (await predictor.event()).data.mode
    decided = {mode: predictor.metric("kat_requests_decided_total", model=MODEL, mode=mode.value) for mode in Mode}
    assert decided == {mode: float(mode is used) for mode in Mode}


async def test_the_event_names_who_asked_and_what_came_of_it(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    response = (await predictor.chat(metadata={"team": "search"})).json()
    event = await predictor.event()
    data = event.data
    assert response["id"] == f"chatcmpl-{event.id}"
    assert (event.subject, event.source) == ("acme", "predictor-0")
    assert (data.tenant, data.api_key_id, data.project, data.model) == ("acme", KEY_ID, "search", MODEL)
    assert (data.mode, data.mode_source) == (Mode.OFF, ModeSource.MODEL)
    assert (data.status, data.finish_reason) == (Status.OK, "stop")
    assert data.engine_seconds == pytest.approx(0.001 * predictor.engine.calls[0].tokens)


async def test_no_text_of_prompt_or_answer_is_in_the_event(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["secret answer"]))
    await predictor.chat("secret question", reasoning_effort="none")
    batch = await predictor.outbox.oldest(1)
    assert batch is not None
    assert b"secret" not in batch.bodies[0]


async def test_a_completion_cut_at_max_tokens_has_the_status_length(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    await predictor.chat(max_tokens=3)
    data = (await predictor.event()).data
    assert (data.status, data.finish_reason, data.tokens.completion) == (Status.LENGTH, "length", 3)


async def test_a_failed_request_is_accounted_with_what_was_generated(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([Reply(ON, fail_after=4)]))
    response = await predictor.chat()
    data = (await predictor.event()).data
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "engine_failed"
    assert (data.status, data.finish_reason, data.tokens.completion) == (Status.ERROR, None, 4)


async def test_an_engine_that_breaks_its_contract_is_an_error_and_not_a_leak(make_predictor: MakePredictor) -> None:
    class LyingEngine(ScriptedEngine):
        def encode(self, text: str) -> list[int]:
            if "</judge>" in text:
                raise RuntimeError("a secret of the inside")
            return super().encode(text)

    predictor = await make_predictor(LyingEngine())
    response = await predictor.chat(reasoning_effort="none")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert (await predictor.event()).data.status is Status.ERROR
    assert predictor.admission.running == 0


async def test_the_event_is_on_disk_before_the_response_ends(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    on_disk: list[int] = []
    ends = predictor.client.build_request(
        "POST",
        "/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True},
    )
    app = predictor.app

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def watching_send(message: Any) -> None:
            if b"[DONE]" in message.get("body", b""):
                on_disk.append(len(await predictor.events()))
            await send(message)

        await app(scope, receive, watching_send)

    predictor.client._transport.app = watched  # type: ignore[attr-defined] # a window between server and client
    await predictor.client.send(ends)
    assert on_disk == [1]


async def test_requests_are_counted_by_mode_and_status(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON, OFF, ON]))
    for _ in range(3):
        await predictor.chat()
    labels = {"model": MODEL, "mode_source": "model", "status": "ok"}
    assert predictor.metric("kat_requests_total", mode="on", **labels) == 2
    assert predictor.metric("kat_requests_total", mode="off", **labels) == 1


async def test_a_forced_modes_first_answer_token_is_observed_under_its_mode(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["Paris."]))
    await predictor.chat(reasoning_effort="none")
    name = "kat_time_to_first_answer_token_seconds_count"
    assert predictor.metric(name, model=MODEL, mode="off") == 1
    assert predictor.metric(name, model=MODEL, mode="undecided") == 0
