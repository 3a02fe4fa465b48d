"""The service in this process, uploads, and an encoder that waits until it may compute."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

from timbral.audio.decode import Wave
from timbral.encoders.native_windows import Windows
from timbral.gallery.gallery import Gallery
from timbral.inference.embedder import Embedder
from timbral.io.types import Vectors
from timbral.serving.app import create_app
from timbral.serving.service import Service
from timbral.serving.settings import ServiceSettings
from timbral.serving.tokens import Tokens

TOKEN = "a-token-of-sixteen-or-more"
PATIENCE_SECONDS = 60.0
"""longest wait for something that must happen, however busy the machine is"""


@contextmanager
def serving(
    embedder: Embedder, tokens: Sequence[str] = (), gallery: Gallery | None = None, **settings: Any
) -> Iterator[TestClient]:
    service = Service(embedder, ServiceSettings(**settings), workers=2, gallery=gallery)
    with TestClient(create_app(service, Tokens(tokens)), "http://localhost") as client:
        yield client


def wav(wave: Wave, format: str = "WAV", rate: int = 16_000, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, subtype, format=format)
    return file.getvalue()


def three_recordings(voices: Path) -> list[Path]:
    """Two recordings of one voice, and one of another."""
    first, second, *_ = sorted(voices.glob("*/"))
    return [*sorted(first.glob("*.ogg"))[:2], sorted(second.glob("*.ogg"))[0]]


def files(**paths: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in paths.items()}


class SlowRuntime:
    """The encoder's runtime, which waits until it may, and notes its batches."""

    def __init__(self, embedder: Embedder) -> None:
        self._inner = embedder.runtime
        self.network, self.device = self._inner.network, self._inner.device
        self.precision = self._inner.precision
        self.may = threading.Event()
        self.has_begun = False
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors:
        self.has_begun = True
        self.may.wait(PATIENCE_SECONDS)
        self.batches.append(len(waves))
        if any(wave[0] == 1 for wave in waves):
            raise MemoryError
        return self._inner.embed_waves(waves, windows)


def in_threads(function: Callable[[int], Any], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=function, args=(row,)) for row in range(count)]
    for thread in threads:
        thread.start()
    return threads


def number_in_work(metrics: str) -> int:
    """Requests in work or waiting, from the text of `/metrics`."""
    return int(float(metrics.split("\ntimbral_in_work ")[1].split()[0]))


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
