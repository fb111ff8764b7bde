"""Conditional requests for the directory."""

from __future__ import annotations

import pytest

from kat_metering.directory import etag_of, matches

ETAG = etag_of(b"content")


def test_the_tag_is_strong_and_depends_on_the_content_alone() -> None:
    assert ETAG.startswith('"')
    assert etag_of(b"content") == ETAG
    assert etag_of(b"Content") != ETAG


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("", False),
        (ETAG, True),
        (f"W/{ETAG}", True),
        (f'"other", {ETAG}', True),
        ("*", True),
        ('"other"', False),
        (ETAG.strip('"'), False),
    ],
)
def test_a_condition_matches_the_tags_it_names(header: str | None, expected: bool) -> None:
    assert matches(header, ETAG) is expected
