"""Containers that libsndfile does not read (m4a, mp4, webm, wma), through PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from timbral.errors import AudioError, MissingExtraError

__all__ = [
    "FFMPEG_SUFFIXES",
    "check_ffmpeg",
    "decode_container",
    "is_container",
    "is_container_head",
]

FFMPEG_SUFFIXES = (".m4a", ".mp4", ".aac", ".webm", ".wma")
MAGIC_BYTES = (
    (4, b"ftyp"),  # MPEG-4: m4a, mp4
    (0, b"\x1aE\xdf\xa3"),  # Matroska: webm
    (0, b"0&\xb2u"),  # ASF: wma
    (0, b"\xff\xf1"),  # ADTS: aac
    (0, b"\xff\xf9"),
)
"""(offset, bytes) by which a container is told"""


def is_container(path: str | Path) -> bool:
    """Whether a file begins as one that this module reads; False when it cannot be opened."""
    try:
        with open(path, "rb") as file:
            return is_container_head(file.read(16))
    except OSError:
        return False


def is_container_head(head: bytes) -> bool:
    """Whether these are the first bytes, 16 or more, of a container that this module reads."""
    return any(head[offset : offset + len(magic)] == magic for offset, magic in MAGIC_BYTES)


def check_ffmpeg() -> Any:
    """PyAV; MissingExtraError when it is not installed."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("reading m4a, mp4, aac, webm and wma files", "ffmpeg") from None
    return av


def decode_container(source: str | BinaryIO, name: str) -> tuple[NDArray[np.float32], int]:
    """The first audio stream, whole: samples (T, C) and the rate in Hz.

    Raises AudioError, which calls the recording `name`.
    """
    av = check_ffmpeg()
    try:
        with av.open(source) as container:
            if not container.streams.audio:
                raise AudioError(name, "holds no audio stream", "unreadable")
            stream = container.streams.audio[0]
            to_planar_floats = av.AudioResampler(format="fltp")
            frames = [
                planar.to_ndarray()
                for frame in container.decode(stream)
                for planar in to_planar_floats.resample(frame)
            ]
            rate = int(stream.rate)
    except av.FFmpegError as error:
        reason = f"cannot be read as audio ({error.strerror})"
        raise AudioError(name, reason, "unreadable") from None
    if not frames:
        raise AudioError(name, "the recording is empty (no samples)", "empty")
    return np.concatenate(frames, axis=1).T, rate
