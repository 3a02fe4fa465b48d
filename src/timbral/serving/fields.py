"""Refuse form fields that an endpoint does not have, or takes in another form."""

from __future__ import annotations

from typing import get_origin

from fastapi import Request, params

from timbral.serving.field_errors import other_body
from timbral.serving.refusals import ServiceError

__all__ = ["refuse_unknown_fields"]


async def refuse_unknown_fields(request: Request) -> None:
    """Raise ServiceError for fields that an endpoint would ignore or misread.

    These are unknown names (such as `false_acept=0.01`, which would be answered at another rate
    than the requested one), fields in the address, text instead of a file or a file instead of
    text, and a single field that comes twice. A body of another type is refused, too: curl sends
    --data and --data-binary as one field whose name is the recording.
    """
    if message := other_body(request):
        raise ServiceError(422, "fields", message)
    fields = request.scope["route"].dependant.body_params
    takes_file = {field.alias: isinstance(field.field_info, params.File) for field in fields}
    takes_several = {
        field.alias for field in fields if get_origin(field.field_info.annotation) is list
    }
    came: set[str] = set()
    for name in request.query_params:
        raise _refusal(name, "is part of the address; send it as a form field instead")
    for name, value in (await request.form()).multi_items():
        if name not in takes_file:
            raise _refusal(name, f"no such field; allowed: {', '.join(takes_file)}")
        if takes_file[name] and isinstance(value, str):
            raise _refusal(name, f"must be a file, got text; with curl: -F {name}=@a.wav")
        if not takes_file[name] and not isinstance(value, str):
            raise _refusal(name, f"must be text, got a file; with curl: -F {name}=VALUE")
        if name in came and name not in takes_several:
            raise _refusal(name, "was sent twice; send it once")
        came.add(name)


def _refusal(name: str, message: str) -> ServiceError:
    return ServiceError(422, "fields", f"{name[:100]}: {message}")
