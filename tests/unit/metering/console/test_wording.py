"""Every text is there in every language, and every page knows what it asks for."""

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from string import Formatter

import pytest

from kat.directory import BudgetState
from kat.usage_event import Mode, ModeAsked, ModeSource, Segment, Status
from kat_metering.console.pages import PLACES
from kat_metering.console.playground_page import TEXTS
from kat_metering.console.usage_page import Interval, Measure
from kat_metering.console.wording import Language, Wording, catalogue, choose_language
from kat_metering.exports.formats import ExportFormat
from kat_metering.methods import Method
from kat_metering.savings_report import Dimension, TokenBasis

_KEY = re.compile(r'say\(f?"([a-z_0-9]+\.[A-Za-z_0-9-]+)"')
_FAMILY = re.compile(r'say\(f?"([a-z_0-9]+\.(?:[a-z_]*_)?)(?:" ~|\{)')
_FAMILIES: dict[str, Iterable[str]] = {
    "nav.": PLACES,
    "segment.": Segment,
    "segment_more.": Segment,
    "mode.": Mode,
    "mode_source.": ModeSource,
    "status.": Status,
    "policy.": ModeAsked,
    "basis.": TokenBasis,
    "method.": Method,
    "format.": ExportFormat,
    "format_more.": ExportFormat,
    "budget_state.": BudgetState,
    "dimension.": (*(each for each in Dimension), *Interval),
    "figure.": Measure,
    "usage.chart_": Measure,
    "limit.": ("requests_per_minute", "tokens_per_minute", "concurrency"),
    "keys.": ("active", "expired", "revoked"),
    "playground.": (*TEXTS, "no_predictor", "no_key", "unreachable"),
    "playground.mode_": ("auto", "on", "off"),
    "overview.no_interval_": TokenBasis,
    "statements.line_": ("credit", "carried", "rounding"),
    "error.": ("403", "404", "409", "422", "503"),
}


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def _named() -> set[str]:
    """Keys that are written out; those that end in _ begin a family."""
    return {key for source in _sources() for key in _KEY.findall(source) if not key.endswith("_")}


def _sources() -> Iterator[str]:
    console = files("kat_metering.console")
    for folder in (console, console.joinpath("templates")):
        for source in folder.iterdir():
            if source.name.endswith((".py", ".html")):
                yield source.read_text("utf-8").replace("say('", 'say("').replace("')", '")')


def test_every_language_has_the_same_keys() -> None:
    """A text that is missing in one language would be an error on its page."""
    english, chinese = (set(catalogue(language)) for language in Language)
    assert english == chinese


def test_translations_have_the_same_placeholders() -> None:
    """What is filled in in one language is filled in in the other."""
    english, chinese = (catalogue(language) for language in Language)
    assert {key for key in english if _placeholders(english[key]) != _placeholders(chinese[key])} == set()


def test_every_key_that_a_page_names_exists() -> None:
    """A key that is written out in a template or module is in the catalogue."""
    assert len(_named()) > 100
    assert _named() - set(catalogue(Language.ENGLISH)) == set()


def test_every_text_is_used() -> None:
    """What no page says any more is not in the catalogue."""
    families = {f"{prefix}{value}" for prefix, values in _FAMILIES.items() for value in values}
    in_error_pages = {key for key in catalogue(Language.ENGLISH) if key.startswith("error.")}
    described = {f"playground.{name}_more" for name in ("no_predictor", "no_key", "unreachable")}
    assert set(catalogue(Language.ENGLISH)) - _named() - families - in_error_pages - described == set()


def test_every_key_that_a_page_puts_together_exists() -> None:
    """A key made of a prefix and a value exists for all values there are."""
    made = {prefix for source in _sources() for prefix in _FAMILY.findall(source)}
    assert made - set(_FAMILIES) == set()
    expected = {f"{prefix}{value}" for prefix, values in _FAMILIES.items() for value in values}
    assert expected - set(catalogue(Language.ENGLISH)) == set()


def test_chinese_is_translated() -> None:
    """A text that is the same in both languages is a name or a number, not one that was forgotten."""
    english, chinese = catalogue(Language.ENGLISH), catalogue(Language.CHINESE)
    same = {key for key in english if english[key] == chinese[key]}
    assert same == {"format.csv", "format.jsonl", "format.parquet", "playground.rating"}


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, None, Language.ENGLISH),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", Language.CHINESE),
        (None, "en-GB,zh;q=0.9", Language.ENGLISH),
        (None, "de, zh-TW;q=0.5", Language.CHINESE),
        (None, "zh;q=0, en;q=0.1", Language.ENGLISH),
        (None, "fr;q=nonsense, *", Language.ENGLISH),
        ("zh", "en", Language.CHINESE),
        ("klingon", "zh", Language.CHINESE),
    ],
)
def test_a_choice_precedes_what_the_browser_accepts(
    chosen: str | None, accepted: str | None, language: Language
) -> None:
    """The best of the accepted languages that there is; English where there is none."""
    assert choose_language(chosen, accepted) is language


def test_an_unknown_key_is_an_error() -> None:
    """A page never shows a key in place of its text."""
    with pytest.raises(KeyError):
        Wording(Language.ENGLISH)("overview.nonsense")
