"""Containers that libsndfile does not read (m4a, mp4, webm, wma, amr), through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.audio.byte_source import ByteSource
from timbral.audio.mpeg4 import check_boxes, is_mpeg4
from timbral.audio.sound import Sound, in_memory
from timbral.errors import AudioError, MissingExtraError

__all__ = ["FFMPEG_SUFFIXES", "check_ffmpeg", "decode_container", "is_container"]

FFMPEG_SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".aac", ".webm", ".mka", ".mkv", ".wma", ".amr"),
)
MATROSKA, ASF, AMR, ADTS = b"\x1aE\xdf\xa3", b"0&\xb2u", b"#!AMR", (b"\xff\xf1", b"\xff\xf9")


def is_container(head: bytes) -> bool:
    """Whether a file with these first bytes is a container that this module reads."""
    return head.startswith((MATROSKA, ASF, AMR, *ADTS)) or is_mpeg4(head)


def check_ffmpeg() -> Any:
    """The module PyAV; MissingExtraError if it is not installed."""
    try:
        import av
    except ImportError:
        raise MissingExtraError(
            "reading m4a, mp4, aac, webm, mka, amr and wma files", "ffmpeg"
        ) from None
    return av


def decode_container(source: ByteSource) -> Sound:
    """Decode all of the first audio stream.

    Channels are averaged if their number changes within the stream. Raises AudioError if PyAV
    cannot decode it, or is not installed, so that other recordings of a job are still read.
    """
    if is_mpeg4(source.head):
        check_boxes(source)
    try:
        av = check_ffmpeg()
    except MissingExtraError as error:
        raise AudioError(source.name, str(error), "missing-extra") from None
    frames: list[NDArray[np.float32]] = []
    rate, stated = 1, 0.0
    try:
        # tags need not be UTF-8
        with av.open(source.for_library(), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(source.name, "contains no audio stream", "unreadable")
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            stated = _stated_seconds(container, stream)
            decoded = _planar_frames(av, container.decode(stream), rate)
            frames.extend(_limited(decoded, source, rate))
    except av.FFmpegError as error:
        if not frames:
            reason = f"cannot be read as audio ({error.strerror})"
            raise AudioError(source.name, reason, "unreadable") from None
        seconds = sum(frame.shape[1] for frame in frames) / rate
        reason = f"the recording is truncated or damaged: nothing can be read after {seconds:.2f} s"
        raise AudioError(source.name, f"{reason} ({error.strerror})", "truncated") from None
    if not frames:
        raise AudioError(source.name, "the recording is empty (no samples)", "empty")
    if len({len(frame) for frame in frames}) > 1:
        frames = [frame.mean(axis=0, keepdims=True) for frame in frames]
    samples = np.ascontiguousarray(np.concatenate(frames, axis=1).T)
    return in_memory(samples, rate, round(stated * rate))


def _planar_frames(av: Any, frames: Any, rate: int) -> Iterator[NDArray[np.float32]]:
    """Each frame as floats (C, T) at `rate`, with the channels that it has."""
    resampler, layout = None, None
    for frame in frames:
        if resampler is None or (frame.layout.name, frame.sample_rate) != layout:
            layout = (frame.layout.name, frame.sample_rate)
            resampler = av.AudioResampler(format="fltp", rate=rate)
        yield from (planar.to_ndarray() for planar in resampler.resample(frame))


def _limited(
    frames: Iterator[NDArray[np.float32]], source: ByteSource, rate: int
) -> Iterator[NDArray[np.float32]]:
    """The frames (C, T); AudioError as soon as they are more than the source's limit."""
    samples = values = 0
    for frame in frames:
        samples, values = samples + frame.shape[1], values + frame.size
        source.limit.check_decoded(source.name, values, samples / rate)
        yield frame


def _stated_seconds(container: Any, stream: Any) -> float:
    """The length in seconds that the container states for the audio; 0 if it states none."""
    if stream.duration is not None and container.format.name.startswith("mov"):
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1 and container.format.name.startswith("matroska")
    return container.duration / 1e6 if alone and container.duration is not None else 0.0
