"""Chat completions: what a client gets for what it asks."""

from typing import Any

import orjson
import pytest

from kat.directory import Budget, BudgetState, Tenant
from kat.usage_event import ModeAsked
from kat_predictor.completion import Defaults
from tests.fakes.engine import ScriptedEngine
from tests.fakes.predictor import CREATED, MODEL
from tests.unit.predictor.api.conftest import MakePredictor

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two.\n</answer>"
OFF = "This is easy.\n</judge>\n\n<think_off>\n<answer>\nHello!\n</answer>"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


async def test_a_model_that_judges_to_think_shows_its_reasoning_apart_from_its_answer(
    make_predictor: MakePredictor,
) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    message = (await predictor.chat()).json()["choices"][0]["message"]
    assert message == {
        "role": "assistant",
        "content": "Forty-two.",
        "refusal": None,
        "reasoning_content": "This is hard.\n\nLet me see.",
        "reasoning": "This is hard.\n\nLet me see.",
    }


async def test_a_response_has_the_shape_of_openais(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    response = (await predictor.chat()).json()
    event = await predictor.event()
    assert response["id"] == f"chatcmpl-{event.id}"
    assert response["object"] == "chat.completion"
    assert response["created"] == int(event.time.timestamp())
    assert response["model"] == MODEL
    assert [choice["index"] for choice in response["choices"]] == [0]
    assert response["choices"][0]["finish_reason"] == "stop"
    assert response["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(("reply", "mode"), [(ON, "on"), (OFF, "off")])
async def test_a_response_names_the_mode_and_who_chose_it(make_predictor: MakePredictor, reply: str, mode: str) -> None:
    predictor = await make_predictor(ScriptedEngine([reply]))
    assert (await predictor.chat()).json()["kat"] == {"mode": mode, "mode_source": "model"}


@pytest.mark.parametrize(
    ("parameters", "mode"),
    [
        ({"reasoning_effort": "none"}, "off"),
        ({"reasoning_effort": "low"}, "on"),
        ({"reasoning_effort": "high"}, "on"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "off"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "on"),
        ({"thinking": {"type": "disabled"}}, "off"),
        ({"thinking": {"type": "enabled", "budget_tokens": 64}}, "on"),
        ({"thinking_token_budget": 0}, "off"),
    ],
)
async def test_each_parameter_of_the_ecosystem_forces_the_mode(
    make_predictor: MakePredictor, parameters: dict[str, Any], mode: str
) -> None:
    predictor = await make_predictor(ScriptedEngine(["words"]))
    assert (await predictor.chat(**parameters)).json()["kat"] == {"mode": mode, "mode_source": "request"}


@pytest.mark.parametrize("kind", ["auto", "adaptive"])
async def test_thinking_of_type_auto_leaves_the_choice_to_the_model(make_predictor: MakePredictor, kind: str) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    response = await predictor.chat(thinking={"type": kind})
    assert response.json()["kat"] == {"mode": "on", "mode_source": "model"}


async def test_the_words_of_the_user_force_the_mode(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["Paris."]))
    response = await predictor.chat("不要思考，直接告诉我法国的首都。")
    assert response.json()["kat"] == {"mode": "off", "mode_source": "instruction"}


async def test_the_tenants_policy_goes_before_the_parameter(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(tenant=Tenant(id="acme", name="Acme", mode_policy=ModeAsked.OFF))
    response = await predictor.chat(reasoning_effort="high")
    assert response.json()["kat"] == {"mode": "off", "mode_source": "budget"}


async def test_a_tenant_near_its_budget_is_answered_without_thinking(make_predictor: MakePredictor) -> None:
    budget = Budget(monthly="10", currency="USD", spent="9", think_off_at="0.8", state=BudgetState.THINK_OFF)
    predictor = await make_predictor(tenant=Tenant(id="acme", name="Acme", budget=budget))
    assert (await predictor.chat()).json()["kat"] == {"mode": "off", "mode_source": "budget"}


async def test_a_key_near_its_own_budget_is_answered_without_thinking(make_predictor: MakePredictor) -> None:
    budget = Budget(monthly="10", currency="USD", spent="9", think_off_at="0.8", state=BudgetState.THINK_OFF)
    predictor = await make_predictor(key_budget=budget)
    assert (await predictor.chat()).json()["kat"] == {"mode": "off", "mode_source": "budget"}


async def test_a_forced_mode_is_written_into_the_prompt_and_not_billed(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["Paris."]))
    usage = (await predictor.chat(reasoning_effort="none")).json()["usage"]
    (call,) = predictor.engine.calls
    assert call.prompt.endswith("</judge>\n\n<think_off>\n<answer>\n")
    assert usage["kat_segments"]["judge"] == 0
    assert usage["completion_tokens"] == call.tokens


async def test_a_thought_at_its_budget_is_closed_and_the_answer_follows(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["one two three four five six", "The answer."]))
    response = (await predictor.chat(thinking={"type": "enabled", "budget_tokens": 5})).json()
    first, second = predictor.engine.calls
    assert response["choices"][0]["message"]["content"] == "The answer."
    assert response["usage"]["kat_segments"]["think"] == 5
    assert first.closed
    assert not first.finished
    assert second.prompt.endswith("one two three\n</think>\n\n<answer>\n")
    assert predictor.metric("kat_think_budget_exhausted_total") == 1


async def test_the_servers_think_budget_bounds_a_request_that_names_none(make_predictor: MakePredictor) -> None:
    defaults = Defaults(max_tokens=200, temperature=0.6, top_p=0.95, think_budget=3)
    predictor = await make_predictor(ScriptedEngine(["one two three four", "Done."]), defaults=defaults)
    response = (await predictor.chat(reasoning_effort="high")).json()
    assert response["usage"]["kat_segments"]["think"] == 3


@pytest.mark.parametrize("mode", ["on", "off"])
async def test_a_chat_model_without_a_judge_is_asked_to_judge_first(make_predictor: MakePredictor, mode: str) -> None:
    engine = ScriptedEngine(["A question of some kind.\nand more", "the text"], judges=False, choice=mode)
    predictor = await make_predictor(engine)
    response = (await predictor.chat("What is love?")).json()
    judging, choosing, *answering = engine.calls
    assert "What is love?" in judging.prompt
    assert choosing.sampling.max_tokens == 1
    assert response["kat"] == {"mode": mode, "mode_source": "model"}
    assert response["choices"][0]["message"]["reasoning"].startswith("A question of some kind.")
    assert answering[0].prompt.startswith("<|im_start|>user\nWhat is love?<|im_end|>\n")
    assert f"A question of some kind.\n</judge>\n\n<think_{mode}>" in answering[0].prompt


async def test_the_prompt_is_counted_once_however_many_calls_are_made(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine(["Judged.\n", "thought", "answer"], judges=False, choice="on")
    predictor = await make_predictor(engine)
    usage = (await predictor.chat("one two three")).json()["usage"]
    assert len(engine.calls) == 4
    assert usage["prompt_tokens"] == len(
        engine.encode("<|im_start|>user\none two three<|im_end|>\n<|im_start|>assistant\n")
    )


async def test_cached_prompt_tokens_are_reported(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF], cached_prompt_tokens=3))
    usage = (await predictor.chat()).json()["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    assert usage["kat_segments"]["prompt"] == usage["prompt_tokens"] - 3


async def test_usage_adds_up(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    usage = (await predictor.chat()).json()["usage"]
    segments = usage["kat_segments"]
    assert usage["completion_tokens"] == predictor.engine.calls[0].tokens
    assert usage["completion_tokens"] == sum(segments[name] for name in ("judge", "think", "answer", "control"))
    assert usage["completion_tokens_details"] == {"reasoning_tokens": segments["judge"] + segments["think"]}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_max_tokens_bounds_all_segments_together(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    response = (await predictor.chat(max_completion_tokens=4)).json()
    assert response["choices"][0]["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 4


async def test_a_completion_ends_where_the_context_ends(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine(["word " * 500], max_model_len=80)
    predictor = await make_predictor(engine)
    response = (await predictor.chat("Hello", reasoning_effort="none")).json()
    assert response["choices"][0]["finish_reason"] == "length"
    assert len(engine.encode(engine.calls[0].prompt)) + response["usage"]["completion_tokens"] == 80


async def test_a_prefill_that_takes_the_last_of_the_context_ends_the_request(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine(["word"])
    prompt = engine.render_chat([{"role": "user", "content": "Hi"}], None)
    engine.max_model_len = len(engine.encode(prompt)) + 2
    predictor = await make_predictor(engine)
    response = (await predictor.chat("Hi", reasoning_effort="none")).json()
    assert response["choices"][0]["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 0
    assert engine.calls == []


async def test_a_stop_string_cuts_the_answer_and_not_the_thoughts(make_predictor: MakePredictor) -> None:
    reply = "Easy. END\n</judge>\n\n<think_off>\n<answer>\nup to END and beyond\n</answer>"
    predictor = await make_predictor(ScriptedEngine([reply]))
    response = (await predictor.chat(stop=["END"])).json()
    message = response["choices"][0]["message"]
    assert message["content"] == "up to "
    assert message["reasoning"] == "Easy. END"
    assert response["choices"][0]["finish_reason"] == "stop"


async def test_sampling_parameters_reach_the_engine(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor()
    await predictor.chat(temperature=0.25, top_p=0.5, seed=7, max_tokens=9)
    sampling = predictor.engine.calls[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.max_tokens) == (0.25, 0.5, 7, 9)


async def test_defaults_hold_where_a_request_says_nothing(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(defaults=Defaults(max_tokens=17, temperature=0.1, top_p=0.2))
    await predictor.chat()
    sampling = predictor.engine.calls[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.1, 0.2, 17)


async def test_log_probabilities_of_the_answers_tokens_are_given_with_alternatives(
    make_predictor: MakePredictor,
) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    logprobs = (await predictor.chat(logprobs=True, top_logprobs=2)).json()["choices"][0]["logprobs"]
    assert [entry["token"] for entry in logprobs["content"]] == ["Hello", "!"]
    assert logprobs["content"][1] == {
        "token": "!",
        "logprob": -0.5,
        "bytes": [33],
        "top_logprobs": [
            {"token": "!~0", "logprob": -1.0, "bytes": [33, 126, 48]},
            {"token": "!~1", "logprob": -2.0, "bytes": [33, 126, 49]},
        ],
    }


async def test_metadata_become_labels_of_the_usage_event(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor()
    await predictor.chat(metadata={"team": "search", "job": "nightly"})
    assert (await predictor.event()).data.labels == {"team": "search", "job": "nightly"}


async def test_a_tool_call_is_parsed_out_of_the_answer(make_predictor: MakePredictor) -> None:
    reply = 'Easy.\n</judge>\n\n<think_off>\n<answer>\n<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>\n</answer>'
    predictor = await make_predictor(ScriptedEngine([reply]))
    choice = (await predictor.chat(tools=TOOLS)).json()["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["id"].startswith("call_")
    assert call["type"] == "function"
    assert call["function"]["name"] == "weather"
    assert orjson.loads(call["function"]["arguments"]) == {"city": "Oslo"}


@pytest.mark.parametrize("parameters", [{}, {"tools": TOOLS, "tool_choice": "none"}])
async def test_the_form_of_a_tool_call_is_plain_text_where_no_tools_were_offered(
    make_predictor: MakePredictor, parameters: dict[str, Any]
) -> None:
    call = '<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    predictor = await make_predictor(ScriptedEngine([call]))
    choice = (await predictor.chat(reasoning_effort="none", **parameters)).json()["choices"][0]
    assert choice["message"]["content"] == call
    assert choice["finish_reason"] == "stop"


async def test_parameters_that_nobody_knows_are_ignored(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    response = await predictor.chat(user="u-1", store=False, top_k=40, flavour="vanilla")
    assert response.status_code == 200


async def test_nulls_mean_the_default(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    names = "temperature top_p max_tokens max_completion_tokens stop seed n tools logprobs metadata stream_options"
    nulls: dict[str, Any] = dict.fromkeys(names.split())
    assert (await predictor.chat(**nulls)).status_code == 200


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
async def test_models_lists_the_served_one(make_predictor: MakePredictor, prefix: str) -> None:
    predictor = await make_predictor()
    listed = (await predictor.client.get(f"{prefix}/models")).json()
    card = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "kat-serving"}
    assert listed == {"object": "list", "data": [card]}
    retrieved = (await predictor.client.get(f"{prefix}/models/{MODEL}")).json()
    assert card.items() <= retrieved.items()


async def test_chat_is_served_under_kserves_prefix_too(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    response = await predictor.client.post("/openai/v1/chat/completions", json=body)
    assert response.json()["choices"][0]["message"]["content"] == "Hello!"
