"""What `/v1/chat/completions` and `/v1/completions` accept.

Unknown parameters are ignored, as OpenAI's API does. A known one with a bad value, or one that this server cannot
honour, is a 400 that names it: silence would give an answer other than the one asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from kat.usage_event import MAX_LABELS, LabelKey, LabelValue
from kat_predictor.api.messages import read_messages
from kat_predictor.api.mode_parameters import Budget, ChatTemplateKwargs, Effort, Thinking, mode_request
from kat_predictor.api.response_format import ResponseFormat
from kat_predictor.errors import InvalidRequest
from kat_predictor.job import ChatPrompt, Job, TextPrompt

MAX_STOPS: Final = 4
MAX_TOP_LOGPROBS: Final = 20
MAX_COMPLETION_LOGPROBS: Final = 5
DEFAULT_COMPLETION_TOKENS: Final = 16
"""The default of OpenAI's legacy endpoint, which clients of it count on."""

NonEmpty = Annotated[str, StringConstraints(min_length=1)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
MaxTokens = Annotated[int, Field(ge=1)]

_LABELS: Final = TypeAdapter(Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)])
_Request = TypeVar("_Request", bound=BaseModel)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class StreamOptions(_Lenient):
    """What a stream reports beside its text."""

    include_usage: bool | None = None


class ToolFunction(_Lenient):
    """What a tool is called and takes."""

    name: NonEmpty
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolParam(_Lenient):
    """A tool that the model may call."""

    type: Literal["function"]
    function: ToolFunction


class _Common(_Lenient):
    """What both endpoints take."""

    model: NonEmpty
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Seed | None = None
    stop: Annotated[list[NonEmpty], Field(max_length=MAX_STOPS), BeforeValidator(_as_list)] | None = None
    n: int | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    metadata: dict[str, Any] | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def check(self) -> None:
        """Refuse what is understood and cannot be done. Raises InvalidRequest."""
        _only(self.n, {1}, "n", "one choice a request; send the request again for another")
        _only(self.frequency_penalty, {0}, "frequency_penalty", "no penalties")
        _only(self.presence_penalty, {0}, "presence_penalty", "no penalties")
        if self.logit_bias:
            raise InvalidRequest("'logit_bias' is not supported.", param="logit_bias")
        if self.stream_options is not None and not self.stream:
            raise InvalidRequest("'stream_options' goes with 'stream': true only.", param="stream_options")

    @property
    def labels(self) -> Mapping[str, str]:
        """`metadata`, which become the labels of the usage event. Raises InvalidRequest."""
        if not self.metadata:
            return {}
        try:
            return _LABELS.validate_python(self.metadata, strict=True)
        except ValidationError as error:
            raise InvalidRequest(
                f"'metadata' must be at most {MAX_LABELS} labels of short text (a key of 40 letters, digits or '_.-/',"
                f" a value of 80 characters): {error.errors()[0]['msg']}.",
                param="metadata",
            ) from error


class ChatCompletionRequest(_Common):
    """The body of `/v1/chat/completions`. Messages are read by `read_messages`."""

    messages: Any = None
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[ToolParam] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: ChatTemplateKwargs | None = None
    thinking: Thinking | None = None
    thinking_token_budget: Budget | None = None

    @property
    def tools_offered(self) -> bool:
        """The answer may hold calls of tools."""
        return bool(self.tools) and self.tool_choice != "none"

    def job(self) -> Job:
        """What is wanted. Raises InvalidRequest for what cannot be done."""
        self.check()
        self._check_chat()
        tools = tuple(tool.model_dump(exclude_none=True) for tool in self.tools or ()) if self.tools_offered else ()
        limit, limit_param = self.max_completion_tokens, "max_completion_tokens"
        if limit is None:
            limit, limit_param = self.max_tokens, "max_tokens"
        return Job(
            prompt=ChatPrompt(read_messages(self.messages), tools),
            mode=mode_request(
                reasoning_effort=self.reasoning_effort,
                chat_template_kwargs=self.chat_template_kwargs,
                thinking=self.thinking,
                thinking_token_budget=self.thinking_token_budget,
            ),
            max_tokens=limit,
            max_tokens_param=limit_param,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(self.stop or ()),
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            json_schema=self._json_schema(),
            labels=self.labels,
        )

    def _json_schema(self) -> str | None:
        schema = None if self.response_format is None else self.response_format.schema_text()
        if schema is not None and self.tools_offered:
            # An answer in the form of the schema could hold no call.
            raise InvalidRequest(
                "'response_format' does not go with 'tools': send 'tool_choice': \"none\", or the tools alone.",
                param="response_format",
            )
        return schema

    def _check_chat(self) -> None:
        if self.max_tokens is not None and self.max_completion_tokens not in {None, self.max_tokens}:
            raise InvalidRequest(
                "'max_tokens' and 'max_completion_tokens' contradict one another; send 'max_completion_tokens' alone.",
                param="max_tokens",
            )
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequest("'top_logprobs' goes with 'logprobs': true only.", param="top_logprobs")
        if self.modalities is not None and self.modalities != ["text"]:
            raise InvalidRequest("'modalities' can be [\"text\"] only.", param="modalities")
        if self.functions:
            raise InvalidRequest("'functions' is the deprecated form; send 'tools'.", param="functions")
        _only(self.parallel_tool_calls, {True}, "parallel_tool_calls", "as many calls a turn as the model makes")
        _only(self.tool_choice, {"none", "auto"}, "tool_choice", "'none' and 'auto': no call can be forced")


class CompletionRequest(_Common):
    """The body of `/v1/completions`."""

    prompt: Any = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_COMPLETION_LOGPROBS)] | None = None

    def job(self) -> Job:
        """What is wanted. Raises InvalidRequest for what cannot be done."""
        self.check()
        _only(self.best_of, {1}, "best_of", "one completion a request")
        _only(self.echo, {False}, "echo", "the completion alone, without its prompt")
        if self.suffix:
            raise InvalidRequest("'suffix' is not supported.", param="suffix")
        return Job(
            prompt=TextPrompt(_one_text(self.prompt)),
            max_tokens=DEFAULT_COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(self.stop or ()),
            top_logprobs=self.logprobs,
            labels=self.labels,
        )


def parse(body: object, into: type[_Request]) -> _Request:
    """The request of a decoded body.

    Raises:
        InvalidRequest: A field is missing or has a bad value; `param` names the first such field.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        return into.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        param = _path(first["loc"])
        if first["type"] == "missing":
            raise InvalidRequest(f"'{param}' is missing.", param=param) from error
        raise InvalidRequest(f"Invalid value for '{param}': {first['msg']}.", param=param) from error


def _path(location: Sequence[str | int]) -> str:
    """`tools[0].function.name` of a pydantic location, without the names that pydantic gives members of a union."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step.isidentifier() and step not in _UNION_MEMBERS:
            path += f".{step}" if path else step
    return path


_UNION_MEMBERS: Final = {"str"}


def _only(value: object, allowed: set[Any], param: str, offer: str) -> None:
    if value is None or (isinstance(value, (str, int, float)) and value in allowed):
        return
    raise InvalidRequest(f"{param}={value!r} is not supported: this server offers {offer}.", param=param)


def _one_text(prompt: object) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if isinstance(prompt, str):
        if not prompt:
            raise InvalidRequest("'prompt' must not be empty.", param="prompt")
        return prompt
    if prompt is None:
        raise InvalidRequest("'prompt' is missing.", param="prompt")
    raise InvalidRequest("'prompt' must be one text; token ids and several prompts are not supported.", param="prompt")
