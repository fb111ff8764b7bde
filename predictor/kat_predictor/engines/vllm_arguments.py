"""vLLM's engine arguments, as an operator writes them in the settings."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def read_engine_arguments(setting: str) -> dict[str, Any]:
    """The arguments in a setting: a JSON object, or the path of a file that holds one.

    Example: `{"tensor_parallel_size": 2, "quantization": "fp8"}`.

    Raises:
        ValueError: One line that says what is wrong with it.
    """
    text = setting.strip()
    origin = "it"
    if not text.startswith("{"):
        path = Path(text).expanduser()
        origin = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"neither a JSON object nor a readable file: {error}") from None
    try:
        arguments = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{origin} is no valid JSON: {error}") from None
    if not isinstance(arguments, dict):
        # For whoever wrote the setting it is a bad value like the others.
        raise ValueError(f"{origin} holds no JSON object but {type(arguments).__name__}")  # noqa: TRY004
    # `vllm serve` spells them with dashes, its Python interface with underscores; both are understood.
    return {name.removeprefix("--").replace("-", "_"): value for name, value in arguments.items()}


def check_names(arguments: Mapping[str, Any], known: Collection[str], reserved: Mapping[str, str]) -> None:
    """Refuse arguments that the engine does not have, and those that have a setting of their own.

    Args:
        arguments: as read.
        known: every name that the engine takes.
        reserved: name to the setting that decides it.

    Raises:
        ValueError: One line that names the argument and, where there is one, what was probably meant.
    """
    for name in arguments:
        if name in reserved:
            raise ValueError(f"{name} is set by {reserved[name]}")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"vLLM has no engine argument {name}{hint}")


def as_command_line(arguments: Mapping[str, Any]) -> list[str]:
    """The arguments as `vllm serve` would be given them. None leaves an argument at its default."""
    words: list[str] = []
    for name, value in arguments.items():
        option = f"--{name.replace('_', '-')}"
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, list):
            words += [option, *(item if isinstance(item, str) else json.dumps(item) for item in value)]
        else:
            words.append(f"{option}={value if isinstance(value, str) else json.dumps(value)}")
    return words
