"""The transformers engine on a real chat model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kat_predictor.engines.base import Sampling, TokenChunk
from kat_predictor.engines.load import load_checkpoint
from kat_predictor.engines.transformers import TransformersEngine

QUESTIONS = [
    "What is the capital of France?",
    "法国的首都是哪里？",
    "A shop sells 3 pens for 2 dollars. How much do 12 pens cost?",
    "你好，请介绍一下你自己。",
]


@pytest.fixture(scope="module")
def engine(base_model_path: Path) -> Iterator[TransformersEngine]:
    """In float32: in bfloat16 two tokens can be equally likely, and the size of the batch decides between them."""
    model, tokenizer = load_checkpoint(str(base_model_path), dtype="float32")
    made = TransformersEngine(model, tokenizer, max_batch=8, prefix_cache_tokens=4096)
    yield made
    asyncio.run(made.close())


async def ask(engine: TransformersEngine, prompt: str, max_tokens: int = 20, **settings: float) -> list[TokenChunk]:
    sampling = Sampling(max_tokens=max_tokens, temperature=settings.get("temperature", 0), seed=3)
    return [chunk async for chunk in engine.generate(engine.encode(prompt), sampling)]


def chat(engine: TransformersEngine, question: str) -> str:
    return engine.render_chat([{"role": "user", "content": question}], None)


def text(chunks: list[TokenChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def test_it_knows_the_capital_of_france(engine: TransformersEngine) -> None:
    chunks = await ask(engine, chat(engine, QUESTIONS[0]))

    assert "Paris" in text(chunks)
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize("temperature", [0.0, 0.7])
async def test_answers_are_the_same_alone_and_in_a_batch(engine: TransformersEngine, temperature: float) -> None:
    prompts = [chat(engine, question) for question in QUESTIONS]
    alone = [text(await ask(engine, prompt, temperature=temperature)) for prompt in prompts]

    together = await asyncio.gather(*(ask(engine, prompt, temperature=temperature) for prompt in prompts))

    assert [text(chunks) for chunks in together] == alone


async def test_a_conversation_gets_the_same_answers_with_and_without_the_prefix_cache(
    engine: TransformersEngine, base_model_path: Path
) -> None:
    plain = TransformersEngine(*load_checkpoint(str(base_model_path), dtype="float32"), prefix_cache_tokens=0)
    try:
        prompt = chat(engine, QUESTIONS[2])
        for follow_up in ("And 30 pens?", "谢谢！"):
            expected, answer = await ask(plain, prompt), await ask(engine, prompt)
            assert text(answer) == text(expected)
            prompt += f"{text(answer)}<|im_end|>\n<|im_start|>user\n{follow_up}<|im_end|>\n<|im_start|>assistant\n"
        last = await ask(engine, prompt)
        assert text(last) == text(await ask(plain, prompt))
        assert last[0].cached_prompt_tokens > 64
    finally:
        await plain.close()


async def test_a_judge_prompt_that_all_requests_share_is_computed_once(engine: TransformersEngine) -> None:
    shared = "<|im_start|>system\n" + " ".join(f"Rule {number}: judge with care." for number in range(40))
    await ask(engine, f"{shared}\nFirst", 1)

    later = await asyncio.gather(*(ask(engine, f"{shared}\nRequest {number}", 1) for number in range(4)))

    prefix = len(engine.encode(shared))
    assert all(prefix - 16 <= chunks[0].cached_prompt_tokens <= prefix for chunks in later)
