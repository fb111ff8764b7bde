"""Price files: what `kat prices import` reads, as YAML or JSON.

    defaults: {mode: any, currency: USD, effective_from: 2026-01-01T00:00:00Z, basis: compute}
    sources:
      contract: {source: "GPU contract 4711, measured throughput of May", source_date: 2026-05-31}
    prices:
      - {model: KAT-V1-40B, segment: think, per_million: 0.12, from: contract}

`defaults` and `sources` only save repetition: an entry may spell everything out, and a file may be just the list, or
a single entry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import yaml
from pydantic import ValidationError

from kat_metering.price_checks import Problem, problems
from kat_metering.prices import Price


class PriceFileError(ValueError):
    """The file cannot be used; `problems` name each entry and field."""

    def __init__(self, found: list[Problem]) -> None:
        self.problems = found
        first = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        super().__init__(f"prices[{first.index}].{first.field}: {first.message}{more}")


_BOOL: Final = "tag:yaml.org,2002:bool"


class DecimalLoader(yaml.SafeLoader):
    """YAML whose fractional numbers are exact decimals, not floats, and in which `on` and `off` are words.

    (YAML 1.1 takes them for true and false; here they are modes.)
    """


DecimalLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
DecimalLoader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(str(loader.construct_scalar(node)).replace("_", ""))


DecimalLoader.add_constructor("tag:yaml.org,2002:float", _decimal)


def read_document(text: str, *, is_json: bool) -> object:
    """The parsed file. Raises ValueError for text that is not YAML, or not JSON."""
    if is_json:
        return json.loads(text, parse_float=Decimal)
    try:
        return yaml.load(text, DecimalLoader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, ArithmeticError) as error:
        raise ValueError(f"not YAML: {error}") from error


def parse_prices(document: object) -> list[Price]:
    """The prices of a parsed file, each valid by itself and all of them together.

    Raises PriceFileError. Gaps are no errors here: usage in them is reported as unpriced.
    """
    entries, defaults, sources = _parts(document)
    prices: list[Price] = []
    found: list[Problem] = []
    for index, entry in enumerate(entries):
        try:
            prices.append(Price.model_validate(_expanded(entry, defaults, sources)))
        except ValidationError as error:
            found += [
                Problem(index, ".".join(map(str, detail["loc"])) or "entry", detail["msg"])
                for detail in error.errors(include_url=False, include_context=False)
            ]
        except ValueError as error:
            found.append(Problem(index, "from", str(error)))
    if not found:
        found = [problem for problem in problems(prices) if problem.severity == "error"]
    if found:
        raise PriceFileError(found)
    return prices


def dump_prices(prices: Iterable[Price]) -> str:
    """The prices as a YAML file that `parse_prices` reads back to equal prices."""
    entries = [price.model_dump(mode="json", exclude_none=True) for price in prices]
    return yaml.safe_dump({"prices": entries}, sort_keys=False, allow_unicode=True, width=120)


def _parts(document: object) -> tuple[list[object], Mapping[str, object], Mapping[str, object]]:
    if isinstance(document, list):
        return document, {}, {}
    if isinstance(document, dict) and "model" in document:
        return [document], {}, {}
    if not isinstance(document, dict) or not isinstance(document.get("prices"), list):
        raise PriceFileError([Problem(0, "entry", "expected a list of prices, or an object with the list `prices`")])
    unknown = [str(key) for key in document if key not in {"defaults", "sources", "prices"}]
    if unknown:
        raise PriceFileError([Problem(0, "entry", f"unknown keys beside `prices`: {', '.join(unknown)}")])
    defaults, sources = document.get("defaults") or {}, document.get("sources") or {}
    if not isinstance(defaults, dict) or not isinstance(sources, dict):
        raise PriceFileError([Problem(0, "entry", "`defaults` and `sources` must be objects")])
    return document["prices"], defaults, sources


def _expanded(entry: object, defaults: Mapping[str, object], sources: Mapping[str, object]) -> object:
    if not isinstance(entry, dict):
        return entry
    own = dict(entry)
    name = own.pop("from", None)
    if name is None:
        return {**defaults, **own}
    source = sources.get(name) if isinstance(name, str) else None
    if not isinstance(source, dict):
        raise ValueError(f"no such source: {name}")  # noqa: TRY004 - the file's fault, like any other bad value
    return {**defaults, **source, **own}
