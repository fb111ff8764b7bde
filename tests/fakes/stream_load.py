"""Clients under load: so many streams at a time by the real OpenAI SDK, and what became of each.

    with stream_load(url, api_key, streams=4) as load:
        ...  # what the load is to go through
    load.completed, load.cut, load.refused

Leaving the `with` begins no more streams and lets those that run end. The SDK retries as it does by default: what it
absorbs is counted and is no stream of its own. Connections are kept as the SDK keeps them, so that a client goes on with
the replica that it found; with `spread` each stream has a connection of its own, and new replicas get their share.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum, auto
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from openai import APIError, AsyncOpenAI, DefaultAsyncHttpxClient

from tests.fakes.installation import MODEL

DEADLINE_SECONDS: Final = 240.0
"""Of a stream, with all its retries; far more than one takes on a machine that other tests keep busy."""
_PAUSE_SECONDS: Final = 0.5
"""After a refusal that the SDK gave up on."""
_TOPICS: Final = ("the sea", "a lighthouse", "two brothers", "winter", "the number seven", "an old engine")


class End(StrEnum):
    """How a stream ended."""

    COMPLETED = auto()
    """With a finish_reason, its usage, and the end mark."""
    CUT = auto()
    """It had begun, and did not come to that."""
    REFUSED = auto()
    """It never began, and the SDK gave up."""


@dataclass(frozen=True)
class Stream:
    """One stream, as its client saw it."""

    end: End
    event_id: UUID | None
    """Of the usage event, which the completion is named after; None where no byte came."""
    tokens: int
    """Prompt and completion, from its usage; 0 unless it completed."""
    fault: str = ""


@dataclass
class StreamLoad:
    """What clients have seen so far. Of the thread that runs them; the numbers may be read at any time."""

    streams: list[Stream] = field(default_factory=list)
    attempts: int = 0
    """HTTP requests, those of retries among them."""
    answers: int = 0
    """Of these, those that were answered, whatever with."""
    retried: int = 0
    """Answers that were no stream: 429, 503 and the like, which the SDK tries again."""

    @property
    def completed(self) -> dict[UUID, int]:
        """Tokens by event."""
        return {each.event_id: each.tokens for each in self._ended(End.COMPLETED) if each.event_id is not None}

    @property
    def cut(self) -> Sequence[Stream]:
        """Streams that broke."""
        return self._ended(End.CUT)

    @property
    def refused(self) -> Sequence[Stream]:
        """Streams that never began."""
        return self._ended(End.REFUSED)

    @property
    def unanswered(self) -> int:
        """Requests whose connection failed before an answer: a predictor may have worked on each, unseen."""
        return self.attempts - self.answers

    def _ended(self, end: End) -> list[Stream]:
        return [each for each in self.streams if each.end is end]


@contextmanager
def stream_load(
    url: str, api_key: str, *, streams: int, max_tokens: int = 32, spread: bool = False, seed: int = 1
) -> Iterator[StreamLoad]:
    """Keep so many streams running until the end of the `with`; `url` is the predictors', without `/v1`."""
    load = StreamLoad()
    enough = threading.Event()
    failures: list[BaseException] = []

    async def clients() -> None:
        headers = {"Connection": "close"} if spread else {}
        async with (
            DefaultAsyncHttpxClient(event_hooks=_counting(load), trust_env=False) as http,
            AsyncOpenAI(base_url=f"{url}/v1", api_key=api_key, http_client=http, default_headers=headers) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(streams):
                dice = random.Random(seed * 1_000 + number)
                group.create_task(_repeat(client, load, dice, max_tokens, enough))

    def run() -> None:
        try:
            asyncio.run(clients())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run, name="stream-load")
    thread.start()
    try:
        yield load
    finally:
        enough.set()
        thread.join()
    if failures:
        raise failures[0]


def _counting(load: StreamLoad) -> dict[str, Any]:
    """Hooks of the HTTP client, which see the retries, too."""

    async def asked(_request: object) -> None:
        load.attempts += 1

    async def answered(response: Any) -> None:
        load.answers += 1
        load.retried += response.status_code != HTTPStatus.OK

    return {"request": [asked], "response": [answered]}


async def _repeat(
    client: AsyncOpenAI, load: StreamLoad, dice: random.Random, max_tokens: int, enough: threading.Event
) -> None:
    """One client: stream after stream."""
    while not enough.is_set():
        stream = await _one(client, dice, max_tokens)
        load.streams.append(stream)
        if stream.end is End.REFUSED:
            await asyncio.sleep(_PAUSE_SECONDS)


async def _one(client: AsyncOpenAI, dice: random.Random, max_tokens: int) -> Stream:
    """Ask for a stream and read it to its end."""
    event_id: UUID | None = None
    finished = False
    tokens: int | None = None
    fault = ""
    began = time.monotonic()
    question = f"Tell me about {dice.choice(_TOPICS)}, story {dice.randrange(10**6)}."
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": question}],
                max_tokens=max_tokens,
                stream=True,
                stream_options={"include_usage": True},
            )
    except (APIError, TimeoutError) as error:
        return Stream(End.REFUSED, None, 0, repr(error))
    try:
        async with asyncio.timeout(max(0.0, began + DEADLINE_SECONDS - time.monotonic())), answer:
            async for chunk in answer:
                event_id = UUID(chunk.id.removeprefix("chatcmpl-"))
                finished |= any(choice.finish_reason is not None for choice in chunk.choices)
                tokens = chunk.usage.total_tokens if chunk.usage else tokens
    # A connection that breaks while a body is read is an error of the HTTP library, which the SDK hands on as it is.
    except Exception as error:  # noqa: BLE001 - told with the stream
        fault = repr(error)
    if finished and tokens is not None and not fault:
        return Stream(End.COMPLETED, event_id, tokens)
    return Stream(End.CUT, event_id, 0, fault or "it ended without a reason or its usage")
