"""Loading a checkpoint folder the way KAT-V1-40B is loaded: same architecture, same template, random weights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from kat_predictor.engines.base import Engine, Sampling
from kat_predictor.engines.load import load_engine

KAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if messages[-1].role == 'assistant' %}{{ raise_exception('the user must speak last') }}{% endif %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<judge>\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, base_model_path: Path) -> Path:
    """A Qwen2 with the bundled model's tokenizer and KAT's way of starting the assistant's turn."""
    folder = tmp_path_factory.mktemp("kat-tiny")
    tokenizer = AutoTokenizer.from_pretrained(base_model_path)
    tokenizer.chat_template = KAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=[2, 7],
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)  # type: ignore[no-untyped-call] # not typed there
    return folder


def load(checkpoint: Path, **settings: object) -> Engine:
    named = {"models_dir": checkpoint, "engine": "transformers", **settings}
    return load_engine(str(checkpoint), **named)  # type: ignore[arg-type] # test's shorthand


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Iterator[Engine]:
    loaded = load(checkpoint)
    yield loaded
    asyncio.run(loaded.close())


async def test_a_folder_becomes_an_engine_that_generates(engine: Engine) -> None:
    prompt = engine.encode(engine.render_chat([{"role": "user", "content": "Hello"}], None))

    chunks = [chunk async for chunk in engine.generate(prompt, Sampling(max_tokens=5))]

    assert 1 <= sum(len(chunk.token_ids) for chunk in chunks) <= 5


def test_the_length_is_the_checkpoints_own(engine: Engine) -> None:
    assert engine.max_model_len == 512


def test_the_generation_prompt_starts_inside_the_judge_segment(engine: Engine) -> None:
    assert engine.chat_template == KAT_TEMPLATE
    assert engine.render_chat([{"role": "user", "content": "Hi"}], None) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<judge>\n"
    )


@pytest.mark.parametrize(
    "messages",
    [[{"role": "assistant", "content": "I speak last"}], [{"role": "user"}], [{"role": "user", "content": None}]],
)
def test_messages_that_the_template_refuses_are_a_value_error(
    engine: Engine, messages: list[dict[str, object]]
) -> None:
    with pytest.raises(ValueError, match="template refuses"):
        engine.render_chat(messages, None)


@pytest.mark.parametrize("stop", [2, 7])
async def test_every_end_of_sequence_token_of_the_checkpoint_ends_a_call(engine: Engine, stop: int) -> None:
    sampling = Sampling(max_tokens=9, allowed_token_ids=(stop,))

    [chunk] = [chunk async for chunk in engine.generate(engine.encode("Hello"), sampling)]

    assert (chunk.token_ids, chunk.text, chunk.finish_reason) == ((stop,), "", "stop")


async def test_a_length_and_a_dtype_can_be_asked_for(checkpoint: Path) -> None:
    engine = load(checkpoint, max_model_len=100, dtype="float32")

    assert engine.max_model_len == 100
    await engine.close()


def test_a_length_beyond_the_checkpoints_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="the model has 512"):
        load(checkpoint, max_model_len=513)


async def test_running_the_checkpoints_own_code_is_warned_of(checkpoint: Path) -> None:
    with capture_logs() as logs:
        engine = load(checkpoint, trust_remote_code=True)

    assert [entry["log_level"] for entry in logs if "will run in this process" in entry["event"]] == ["warning"]
    await engine.close()


def test_a_folder_without_a_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path}.*config.json"):
        load(tmp_path)
