"""The endpoints over HTTP."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from timbral.errors import TimbralError
from timbral.serving.answers import (
    ComparisonAnswer,
    EmbeddingAnswer,
    HealthAnswer,
    RefusalAnswer,
)
from timbral.serving.field_errors import fields_answer, form_answer
from timbral.serving.fields import refuse_unknown_fields
from timbral.serving.gallery_endpoints import add_gallery_endpoints
from timbral.serving.gate import Gate
from timbral.serving.pages import add_pages
from timbral.serving.refusals import ErrorAnswer, answer_to
from timbral.serving.runner import Runner
from timbral.serving.service import Service, TimelineOf
from timbral.serving.tokens import Tokens
from timbral.version import __version__

__all__ = ["create_app"]

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": RefusalAnswer, "description": description}
    for status, description in {
        401: "No token, or an unknown one",
        413: "The upload is too large, or the recording too long",
        415: "timbral cannot read the file as a recording",
        422: "The recording, or a setting, cannot be used",
        429: "This token has too many requests in progress",
        503: "Too many requests at the moment; try again after Retry-After seconds",
    }.items()
}
DESCRIPTION = """Speaker encoder over HTTP. Recordings are uploaded as multipart/form-data, in any
format that timbral decodes, and are not stored."""

Prior = Annotated[float, Form(description="probability of the same speaker before comparing")]


def create_app(service: Service, tokens: Tokens | None = None) -> FastAPI:
    """The service as an ASGI application; when it shuts down, it closes the service.

    Args:
        service: computes the answers
        tokens: accepted tokens; None or empty: no token is needed
    """
    runner = Runner(service.settings.threads, service.settings.timeout_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        runner.close()
        service.close()

    app = FastAPI(
        title="timbral",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's page loads scripts from another site
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_endpoints(app, service, runner)
    if service.gallery is not None:
        add_gallery_endpoints(app, service, runner, REFUSALS)
    _add_status(app, service)
    add_pages(app)
    _add_refusals(app, service)
    app.add_middleware(Gate, tokens=tokens or Tokens(()), service=service)
    return app


def _add_endpoints(app: FastAPI, service: Service, runner: Runner) -> None:
    @app.post("/embed", responses=REFUSALS, dependencies=[Depends(refuse_unknown_fields)])
    async def embed(
        audio: Annotated[list[UploadFile], File(description="one or more recordings")],
        measures: Annotated[bool, Form(description="also return measures and risks")] = False,
    ) -> EmbeddingAnswer:
        """A vector for each recording."""
        contents = [await each.read() for each in audio]
        return await runner(lambda: service.embed(contents, measures=measures))

    @app.post("/verify", responses=REFUSALS, dependencies=[Depends(refuse_unknown_fields)])
    async def verify(
        first: Annotated[UploadFile, File(description="a recording")],
        second: Annotated[UploadFile, File(description="the other recording")],
        threshold: Annotated[
            float | None, Form(description="cosine from which on the answer is yes")
        ] = None,
        false_accept: Annotated[
            float | None, Form(description="false accept rate to promise, such as 0.01")
        ] = None,
        prior: Prior = 0.5,
        timeline: Annotated[
            TimelineOf, Form(description="also compare this one in windows with the other")
        ] = "none",
        check_speakers: Annotated[
            bool, Form(description="also look for a second speaker in both recordings")
        ] = False,
    ) -> ComparisonAnswer:
        """Are two recordings of one speaker?"""
        one, other = await first.read(), await second.read()
        return await runner(
            lambda: service.verify(
                one,
                other,
                threshold=threshold,
                false_accept=false_accept,
                prior=prior,
                timeline=timeline,
                check_speakers=check_speakers,
            )
        )


def _add_status(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> HealthAnswer:
        """Ready to answer, and with which encoder; needs no token."""
        return service.health()

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters, in the text format of Prometheus."""
        return Response(service.metrics.as_text(), media_type="text/plain; version=0.0.4")


def _add_refusals(app: FastAPI, service: Service) -> None:
    """Answer every error with JSON that has `kind` and `message`."""

    def answer(refusal: ErrorAnswer) -> JSONResponse:
        service.metrics.count_refusal(refusal.kind)
        return JSONResponse(refusal.as_dict(), refusal.status, refusal.headers)

    @app.exception_handler(TimbralError)
    async def refuse(_: Request, error: TimbralError) -> JSONResponse:
        return answer(answer_to(error))

    @app.exception_handler(MemoryError)
    async def refuse_for_memory(_: Request, __: MemoryError) -> JSONResponse:
        message = "there is not enough memory at the moment; try again later, or send less"
        return answer(ErrorAnswer(503, "memory", message))

    @app.exception_handler(OSError)
    async def refuse_for_a_full_disk(_: Request, error: OSError) -> JSONResponse:
        return answer(_disk_answer(error))

    @app.exception_handler(Exception)  # its traceback is logged
    async def answer_unexpected_error(_: Request, __: Exception) -> JSONResponse:
        message = "unexpected error; the details are in the log of the service"
        return answer(ErrorAnswer(500, "fault", message))

    @app.exception_handler(RequestValidationError)
    async def refuse_fields(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(fields_answer(request, error.errors()))

    @app.exception_handler(HTTPException)
    async def refuse_request(request: Request, error: HTTPException) -> JSONResponse:
        return answer(_request_answer(error, request.method, service.gallery is not None))


def _request_answer(error: HTTPException, method: str, has_gallery: bool) -> ErrorAnswer:
    """The answer to a request that no endpoint takes."""
    if error.status_code == 400:
        return form_answer(error)
    kinds = {404: "no-such-path", 405: "method"}
    message = error.detail
    if error.status_code == 404:
        voices = "" if has_gallery else "; voices need a gallery: `timbral serve gallery.db`"
        message = f"no such path; GET /api lists all{voices}"
    elif error.status_code == 405:
        message = f"{method} is not allowed here; GET /api lists what is"
    return ErrorAnswer(error.status_code, kinds.get(error.status_code, "request"), message)


def _disk_answer(error: OSError) -> ErrorAnswer:
    """The answer for a full disk; any other error is raised again."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    message = "the service's disk is full; try again when its operator has freed some space"
    return ErrorAnswer(503, "disk", message)
