"""The JSON body of a request."""

from __future__ import annotations

import orjson
from starlette.requests import Request

from kat_predictor.errors import InvalidRequest, UnsupportedMediaType


async def read_json(request: Request) -> object:
    """The decoded body.

    Raises:
        UnsupportedMediaType: The content type is not JSON.
        InvalidRequest: It is no JSON, or no UTF-8.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"Send the body as 'Content-Type: application/json', not {content_type!r}.")
    body = await request.body()
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # orjson reports bytes that are no UTF-8 as an error of JSON; the sender's mistake is another one.
        try:
            body.decode()
        except UnicodeDecodeError as encoding_error:
            raise InvalidRequest(f"The body is not valid UTF-8: {encoding_error.reason}.") from encoding_error
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error
