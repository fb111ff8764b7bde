"""What the client is told, what Prometheus counts and what Postgres keeps agree to the token."""

import json
import time
from collections import Counter
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kat.platform import Platform

SEGMENTS = ("prompt", "prompt_cached", "judge", "think", "answer", "control")
QUESTIONS = ("What is the capital of France?", "小明有12个苹果，又买了5个，一共几个？")
MODES: dict[str, dict[str, Any]] = {
    "auto": {},
    "on": {"reasoning_effort": "high"},
    "off": {"reasoning_effort": "none"},
}

Books = Counter[tuple[str, str]]
"""Tokens by (mode, segment)."""


@pytest.fixture
def client(platform: Platform) -> openai.OpenAI:
    key = platform.api_key.get_secret_value()
    return openai.OpenAI(base_url=f"{platform.predictor_url}/v1", api_key=key, max_retries=0, timeout=120)


def prometheus_books(platform: Platform) -> Books:
    text = httpx.get(f"{platform.predictor_url}/metrics").raise_for_status().text
    books: Books = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "kat_tokens_total":
                books[sample.labels["mode"], sample.labels["segment"]] += int(sample.value)
    return books


def postgres_rows(platform: Platform, ids: set[str]) -> list[dict[str, Any]]:
    """The rows of these requests, once all are there."""
    headers = {"Authorization": f"Bearer {platform.api_key.get_secret_value()}"}
    month = time.strftime("%Y-%m", time.gmtime())
    deadline = time.monotonic() + 30
    while True:
        export = httpx.get(
            f"{platform.metering_url}/v1/exports/usage", headers=headers, params={"month": month, "format": "jsonl"}
        ).raise_for_status()
        rows = [row for row in map(json.loads, export.text.splitlines()) if row["id"] in ids]
        if len(rows) == len(ids) or time.monotonic() > deadline:
            return rows
        time.sleep(0.1)


def ask(client: openai.OpenAI, question: str, parameters: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """The id, the mode and the usage of one request, as the SDK shows them."""
    model = client.models.list().data[0].id
    request = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 48, **parameters}
    if not stream:
        answer = client.chat.completions.create(**request)
        return {"id": answer.id, **answer.model_extra["kat"], "usage": answer.usage}
    chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    [usage] = [chunk.usage for chunk in chunks if chunk.usage]
    modes = [chunk.model_extra["kat"] for chunk in chunks if (chunk.model_extra or {}).get("kat")]
    return {"id": chunks[0].id, **modes[-1], "usage": usage}


def test_response_prometheus_and_postgres_agree_to_the_token(platform: Platform, client: openai.OpenAI) -> None:
    """Streaming and not, in all three modes, in two languages."""
    before = prometheus_books(platform)
    told = [
        ask(client, question, parameters, stream=stream)
        for question in QUESTIONS
        for parameters in MODES.values()
        for stream in (False, True)
    ]
    client_books: Books = Counter()
    for answer in told:
        for segment in SEGMENTS:
            client_books[answer["mode"], segment] += answer["usage"].model_extra["kat_segments"][segment]
    row_books: Books = Counter()
    rows = postgres_rows(platform, {answer["id"].removeprefix("chatcmpl-") for answer in told})
    for row in rows:
        for segment in SEGMENTS:
            row_books[row["mode"], segment] += row[segment]
    counted = prometheus_books(platform)
    counted.subtract(before)
    assert +row_books == +client_books
    assert +counted == +client_books


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("asked", MODES)
def test_the_mode_is_the_one_asked_for_and_usage_adds_up(client: openai.OpenAI, asked: str, *, stream: bool) -> None:
    answer = ask(client, QUESTIONS[0], MODES[asked], stream=stream)
    usage, segments = answer["usage"], answer["usage"].model_extra["kat_segments"]
    if asked != "auto":
        assert (answer["mode"], answer["mode_source"]) == (asked, "request")
    assert usage.completion_tokens == sum(segments[segment] for segment in ("judge", "think", "answer", "control"))
    assert usage.prompt_tokens == segments["prompt"] + segments["prompt_cached"]
    assert usage.completion_tokens_details.reasoning_tokens == segments["judge"] + segments["think"]
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
