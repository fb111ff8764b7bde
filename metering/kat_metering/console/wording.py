"""What the console says, in every language it speaks. The catalogues are TOML, one file a language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final


class Language(StrEnum):
    """The console's languages, as BCP 47 names them."""

    ENGLISH = "en"
    CHINESE = "zh"

    @property
    def html(self) -> str:
        """For the `lang` attribute, which decides the shapes of characters."""
        return "zh-Hans" if self is Language.CHINESE else "en"


NAMES: Final = {Language.ENGLISH: "English", Language.CHINESE: "中文"}
"""Each language in its own words."""


class Wording:
    """The texts of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = catalogue(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of a key such as `overview.title`, its placeholders filled in. Raises KeyError for an unknown key."""
        text = self._texts[key]
        return text.format(**values) if values else text


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """All texts of a language by key."""
    source = files("kat_metering.console").joinpath("wording", f"{language.value}.toml").read_text("utf-8")
    return dict(_flat(tomllib.loads(source)))


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", str(value))]
    return found


def choose_language(chosen: str | None, accepted: str | None) -> Language:
    """The language to answer in.

    Args:
        chosen: What the visitor picked before, if anything.
        accepted: The header Accept-Language (RFC 9110).
    """
    if chosen in set(Language):
        return Language(chosen)
    ranked = sorted(_ranges(accepted or ""), key=lambda each: -each[1])
    for name, quality in ranked:
        primary = name.partition("-")[0].lower()
        if quality > 0 and primary in set(Language):
            return Language(primary)
    return Language.ENGLISH


def _ranges(header: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for part in header.split(","):
        name, _, parameter = part.strip().partition(";")
        weight = parameter.strip().removeprefix("q=") if parameter else "1"
        try:
            found.append((name.strip(), float(weight)))
        except ValueError:
            continue  # a range whose weight cannot be read says nothing
    return found
