"""Lists come page by page, each in the same way, from where the page before ended (keyset pagination).

`limit` is how many entries a page has at most. The answer's `next` is null at the end of the list, else what to ask
for as `after` to get the page that follows. What it is made of is each list's own business. Entries that are added or
changed meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

from fastapi import Query
from pydantic import Field

_MOST: Final = 500
DEFAULT_LIMIT: Final = 100

Limit = Annotated[int, Query(ge=1, le=_MOST, description="entries of a page, at most")]
AFTER: Final = Query(alias="after", description="`next` of the page before; default: from the beginning")
"""Of a parameter whose type is that of the list's own key."""
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
"""A key that Postgres counts."""

Entry = TypeVar("Entry")
Key = TypeVar("Key")


def cut(entries: Sequence[Entry], limit: int, key: Callable[[Entry], Key]) -> tuple[Sequence[Entry], Key | None]:
    """The page and its `next`. `entries`: those from the page's first one on, `limit` + 1 of them where there are."""
    page = entries[:limit]
    return page, key(page[-1]) if len(entries) > limit else None
