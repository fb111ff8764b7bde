"""Commands show whole lists, however many pages metering makes of them."""

from __future__ import annotations

import httpx

from kat_metering.cli_client import get_all


def test_a_list_is_read_to_its_last_page() -> None:
    entries = [f"t{number}" for number in range(5)]

    def page_of(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        assert asked["month"] == "2026-10"
        start = entries.index(asked["after"]) + 1 if "after" in asked else 0
        shown = entries[start : start + 2]
        following = shown[-1] if start + 2 < len(entries) else None
        return httpx.Response(200, json={"tenants": shown, "warnings": ["a gap"], "next": following})

    with httpx.Client(transport=httpx.MockTransport(page_of), base_url="http://metering") as client:
        found = get_all(client, "/v1/statements/due", "tenants", {"month": "2026-10"})
    assert found == {"tenants": entries, "warnings": ["a gap"]}
