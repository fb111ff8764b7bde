"""Fields of forms, and what is wrong with them in the console's terms."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.datastructures import FormData

from kat_metering.errors import FieldError, InvalidError


def text_of(form: FormData, name: str) -> str:
    """A field's text; empty where it is missing, or a file. Raises InvalidError."""
    value = form.get(name)
    if not isinstance(value, str):
        return ""
    if "\x00" in value:
        # Postgres keeps none.
        raise InvalidError("The form has values that cannot be.", errors=[FieldError(name, "has a NUL in it")])
    return value.strip()


def as_invalid(error: ValidationError) -> InvalidError:
    """What a model refused of a form."""
    fields = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_url=False)]
    return InvalidError("The form has values that cannot be.", errors=fields)
