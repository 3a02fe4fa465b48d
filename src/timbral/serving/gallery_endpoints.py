"""The endpoints of a gallery over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, UploadFile

from timbral.serving.answers import (
    DeletionAnswer,
    EnrollmentAnswer,
    IdentificationAnswer,
    RefusalAnswer,
    VoiceAnswer,
    VoiceListAnswer,
)
from timbral.serving.fields import refuse_unknown_fields
from timbral.serving.gallery_service import GalleryService
from timbral.serving.runner import Runner
from timbral.serving.service import Service

__all__ = ["add_gallery_endpoints"]

NO_SUCH_VOICE: dict[int | str, dict[str, Any]] = {
    404: {"model": RefusalAnswer, "description": "No voice of this name is enrolled"}
}
NOT_ENROLLED: dict[int | str, dict[str, Any]] = {
    409: {
        "model": RefusalAnswer,
        "description": (
            "The recordings do not sound like one speaker, or sound like another voice"
        ),
    }
}


def add_gallery_endpoints(
    app: FastAPI, service: Service, runner: Runner, refusals: dict[int | str, dict[str, Any]]
) -> None:
    """Add the endpoints that need a gallery; `refusals` describe the errors of uploads."""
    gallery = service.gallery
    assert gallery is not None, "a service without a gallery has no such endpoints"
    _add_voices(app, gallery, runner)
    known = [Depends(refuse_unknown_fields)]

    @app.post("/enroll", responses={**refusals, **NOT_ENROLLED}, dependencies=known)
    async def enroll(
        name: Annotated[str, Form(description="name of the voice, any text")],
        audio: Annotated[list[UploadFile], File(description="recordings of this one speaker")],
        consent: Annotated[
            str, Form(description="what the speaker agreed to, or where that is documented")
        ] = "",
        force: Annotated[bool, Form(description="enroll even if the checks refuse them")] = False,
    ) -> EnrollmentAnswer:
        """Enroll recordings of a speaker: all of them, or none."""
        contents = [await each.read() for each in audio]
        service.check_count(contents)
        return await runner.to_the_end(
            lambda: gallery.enroll(name, contents, consent=consent or None, force=force)
        )

    @app.post("/identify", responses=refusals, dependencies=known)
    async def identify(
        audio: Annotated[UploadFile, File(description="a recording")],
        top: Annotated[int, Form(description="number of candidates to return", ge=1, le=1000)] = 5,
        false_accept: Annotated[
            float | None,
            Form(description="highest fraction of strangers who may get a name"),
        ] = None,
        prior: Annotated[float, Form(description="probability that the speaker is enrolled")] = 0.5,
    ) -> IdentificationAnswer:
        """Which enrolled speaker is it, if any?"""
        content = await audio.read()
        return await runner(
            lambda: gallery.identify(content, top=top, false_accept=false_accept, prior=prior)
        )


def _add_voices(app: FastAPI, gallery: GalleryService, runner: Runner) -> None:
    @app.get("/voices")
    async def voices() -> VoiceListAnswer:
        """All enrolled voices."""
        return await runner(gallery.voices)

    @app.get("/voices/{name:path}", responses=NO_SUCH_VOICE)
    async def voice(name: str) -> VoiceAnswer:
        """A voice and its recordings; vectors stay in the gallery."""
        return await runner(lambda: gallery.voice(name))

    @app.delete("/voices/{name:path}", responses=NO_SUCH_VOICE)
    async def delete_voice(name: str) -> DeletionAnswer:
        """Delete a voice with all its recordings, and overwrite them."""
        return await runner.to_the_end(lambda: gallery.remove(name))
