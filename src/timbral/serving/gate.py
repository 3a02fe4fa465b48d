"""The checks that every request passes before anything is computed.

log ▶ security headers ▶ same site? ▶ token ▶ room in the queue? ▶ body, of limited size ▶ app
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from timbral.serving.refusals import ServiceError, answer_to
from timbral.serving.slots import Slots
from timbral.serving.tokens import Tokens, is_loopback

if TYPE_CHECKING:
    from timbral.serving.service import Service

__all__ = ["Gate"]

OPEN_PATHS = frozenset({"/", "/health", "/api", "/openapi.json"})
"""paths that can be read without a token: they contain nothing private"""
OPEN_FOLDER = "/page/"
SAFE_METHODS = frozenset({"GET", "HEAD"})
METHODS = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
"""methods that the log and the counters name; a client could send any word"""
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self)",
    "cache-control": "no-store",
}
access = logging.getLogger("timbral.access")


class Gate:
    """ASGI middleware: limits, tokens, counters and the access log."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, service: Service) -> None:
        self._app, self._tokens, self._service = app, tokens, service
        self._slots = Slots(service.settings, service.metrics.in_work.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.monotonic()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._admit(scope, receive, answer)
        except ServiceError as error:
            refusal = answer_to(error)
            self._service.metrics.count_refusal(refusal.kind)
            response = JSONResponse(refusal.as_dict(), refusal.status, refusal.headers)
            await response(scope, receive, answer)
        finally:
            self._log(scope, status, time.monotonic() - start)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        """Log one line with the route, not the path, which may contain a name."""
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._service.metrics.count_request(route, method, status, seconds)
        access.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        writes = scope["method"] not in SAFE_METHODS
        if not self._tokens:
            _check_host(headers)
        if writes:
            _check_origin(headers)
        token = self._check_token(scope["path"], headers, writes)
        if not writes:
            await self._app(scope, receive, send)
            return
        with self._slots.taken(token):
            body = await self._body(headers, receive)
            await self._app(scope, _replay(body, receive), send)

    def _check_token(self, path: str, headers: Headers, writes: bool) -> int:
        """The number of the request's token, or -1 if none is needed; else ServiceError (401)."""
        token = self._tokens.find(headers.get("authorization", "").encode())
        if token is not None:
            return token
        is_open = not writes and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER))
        if self._tokens and not is_open:
            message = "a token is needed, in the header `Authorization: Bearer TOKEN`"
            raise ServiceError(401, "token", message)
        return -1

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body; ServiceError when it is too large or does not arrive in time."""
        settings = self._service.settings
        stated = headers.get("content-length", "")
        if stated.isdigit() and int(stated) > settings.max_upload_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                return await self._received(receive)
        except TimeoutError:
            message = f"the upload did not arrive within {settings.timeout_seconds:g} s"
            raise ServiceError(408, "slow-upload", message) from None

    async def _received(self, receive: Receive) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServiceError(400, "disconnected", "the upload was interrupted")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._service.settings.max_upload_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> ServiceError:
        most = self._service.settings.max_upload_mb
        return ServiceError(413, "too-large", f"a request may have at most {most:g} MB; send less")


def _check_origin(headers: Headers) -> None:
    """Raise ServiceError (403) for a request from a page of another site."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        message = (
            "pages of other sites may not use this service; send the request from a "
            "server, with a token"
        )
        raise ServiceError(403, "other-site", message)


def _check_host(headers: Headers) -> None:
    """Raise ServiceError (403) for a request to another host name than this machine's.

    Without tokens the service listens on this machine only, where a page of another site could
    reach it by a host name of its own that resolves to 127.0.0.1 (DNS rebinding).
    """
    host = headers.get("host", "")
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    if not is_loopback(name):
        message = "without tokens, this service can only be used as localhost and 127.0.0.1"
        raise ServiceError(403, "other-site", message)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns this body first, then what `receive` returns."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
