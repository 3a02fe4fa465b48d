"""The page at `/`, the API page at `/api`, and their files."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Response

__all__ = ["add_pages"]

FILES = {
    "service.css": "text/css; charset=utf-8",
    "service.js": "text/javascript; charset=utf-8",
    "recorder.js": "text/javascript; charset=utf-8",
    "results.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
}
"""files of the pages, with their media types"""
HTML = "text/html; charset=utf-8"


def add_pages(app: FastAPI) -> None:
    """Add the pages, none of which loads anything from other sites."""

    @app.get("/", include_in_schema=False)
    async def service_page() -> Response:
        return _file("service.html", HTML)

    @app.get("/api", include_in_schema=False)
    async def api_page() -> Response:
        return _file("api.html", HTML)

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in FILES:
            return Response(status_code=404)
        return _file(name, FILES[name])


def _file(name: str, media_type: str) -> Response:
    content = (files("timbral.serving") / "page" / name).read_bytes()
    return Response(content, media_type=media_type)
