"""JSON responses, encoded by orjson."""

from __future__ import annotations

import orjson
from starlette.responses import Response


class JsonResponse(Response):
    """A response whose content is encoded as JSON."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The body."""
        return orjson.dumps(content)
