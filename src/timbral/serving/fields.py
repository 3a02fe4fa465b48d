"""Fields of a request that an endpoint does not have."""

from __future__ import annotations

from fastapi import Request

from timbral.serving.refusals import ServiceError

__all__ = ["refuse_unknown_fields"]


async def refuse_unknown_fields(request: Request) -> None:
    """ServiceError for fields that would not count: misspelled, or in the address.

    Passed over, `false_acept=0.01` would be answered at another rate than the one asked for.
    """
    allowed = [field.alias for field in request.scope["route"].dependant.body_params]
    for name in request.query_params:
        message = f"{name[:100]}: stands in the address; send it as a field of the form"
        raise ServiceError(422, "fields", message)
    for name in await request.form():
        if name not in allowed:
            message = f"{name[:100]}: no such field; allowed: {', '.join(allowed)}"
            raise ServiceError(422, "fields", message)
