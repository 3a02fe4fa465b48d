"""What is wrong with the form fields of a request, in words that say what to send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, params
from starlette.exceptions import HTTPException

from timbral.serving.refusals import ErrorAnswer

__all__ = ["fields_answer", "form_answer", "other_body"]

LONGEST_SHOWN = 100
"""characters of a value that is repeated"""
FORM = "multipart/form-data"
ALLOWED = {
    "float_parsing": "must be a number such as 0.5",
    "finite_number": "must be a finite number such as 0.5",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}
"""by pydantic's type of an error"""


def fields_answer(request: Request, errors: Sequence[Mapping[str, Any]]) -> ErrorAnswer:
    """The answer to a request with these errors of its fields, as pydantic lists them."""
    return ErrorAnswer(422, "fields", "; ".join(_field_error(request, each) for each in errors))


def other_body(request: Request) -> str:
    """What is wrong with a body of another type, such as a recording alone; "" if it is a form."""
    body = request.headers.get("content-type", "").partition(";")[0].strip()
    if body.lower() in ("", FORM):
        return ""
    message = f"the body is {body[:LONGEST_SHOWN]}; send form fields, as {FORM}"
    return f"{message}: {_example(request, '')}"


def form_answer(error: HTTPException) -> ErrorAnswer:
    """The answer to a body that is not a form."""
    reason = str(error.detail).rstrip(".")
    return ErrorAnswer(
        error.status_code,
        "multipart",
        f"the body cannot be read as form fields ({reason}); send recordings as "
        "multipart/form-data, with curl: -F FIELD=@a.wav",
    )


def _field_error(request: Request, error: Mapping[str, Any]) -> str:
    """What is wrong with one field, and its value, if that is a short text."""
    name, value = error["loc"][-1], error.get("input")
    if error["type"] == "missing":
        field = _fields(request).get(name)
        text = getattr(field, "description", None)
        return f"{name}: is missing{f' ({text})' if text else ''}; {_example(request, name)}"
    allowed = error["msg"]
    if error["type"] in ALLOWED:
        allowed = ALLOWED[error["type"]].format_map(error.get("ctx", {}))
    shown = isinstance(value, str) and len(value) <= LONGEST_SHOWN
    return f"{name}: {allowed}{f', got {value!r}' if shown else ''}"


def _fields(request: Request) -> dict[str, Any]:
    """The declarations of an endpoint's form fields, by name."""
    return {field.alias: field.field_info for field in request.scope["route"].dependant.body_params}


def _example(request: Request, name: str) -> str:
    """How to send a field with curl; without a `name`, all fields that the endpoint requires."""
    fields = _fields(request)
    names = [name] if name else [key for key, each in fields.items() if each.is_required()]
    words = [
        f"-F {key}={'@a.wav' if isinstance(fields.get(key), params.File) else 'VALUE'}"
        for key in names
    ]
    return f"with curl: {' '.join(words)}"
