"""Recordings: decode, check, resample.

Everywhere in timbral a recording is mono float32 of shape (T,), in [-1, 1].
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from timbral.audio import ffmpeg
from timbral.audio.segments import Segment
from timbral.errors import AudioError, AudioErrorKind, MissingExtraError
from timbral.io.storage import fetch, is_url, open_url

__all__ = [
    "AUDIO_SUFFIXES",
    "PLAUSIBLE_RATES",
    "SAMPLE_RATE",
    "Wave",
    "check_wave",
    "decode",
    "decode_bytes",
    "read_header",
    "resample",
    "stated_seconds",
    "to_int16",
]

Wave = NDArray[np.float32]

SAMPLE_RATE = 16_000
AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph"}
    | set(ffmpeg.FFMPEG_SUFFIXES)
)
PLAUSIBLE_RATES = (1_000, 768_000)
"""lowest and highest sample rate in Hz; headers that say others are broken"""
TOO_LARGE = "its header claims more audio than fits into memory"
SILENCE_PEAK = 2 / 32_768
"""two steps of 16-bit audio: dither, not sound"""


def decode(path: str | Path) -> tuple[Wave, int]:
    """Read a recording, a file or a URL, at its own rate; channels are averaged.

    Of ``FILE#t=START,END`` only that segment is read (`Segment`). Returns the wave (T,) and its
    sample rate in Hz. Formats are told by content, not by name. Raises AudioError when the file is
    missing, unreadable, empty, silent or holds NaN, when it has no such segment, and for an m4a
    and the like when PyAV is not installed.
    """
    segment = Segment.of(str(path))
    _check_regular(str(path), segment.file)
    try:
        source = io.BytesIO(fetch(segment.file)) if is_url(segment.file) else segment.file
        samples, sample_rate = _read(source, segment)
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        if is_url(path) or not ffmpeg.is_container(segment.file):
            raise _why_unreadable(str(path), segment.file, error) from None
        samples, sample_rate = _decode_container(segment.file, segment.file)
        samples = samples[segment.samples(samples.shape[0], sample_rate)]
    except MemoryError:
        raise AudioError(str(path), TOO_LARGE, "too-large") from None
    return _mono(samples, sample_rate, str(path))


def decode_bytes(content: bytes, name: str) -> tuple[Wave, int]:
    """As `decode`, of the content of an audio file, which is written nowhere; errors say `name`."""
    try:
        samples, sample_rate = _read(io.BytesIO(content), Segment(name))
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        if not content:
            raise AudioError(name, "the file is empty (0 bytes)", "empty") from None
        if not ffmpeg.is_container_head(content):
            raise AudioError(name, _unreadable(error), "unreadable") from None
        samples, sample_rate = _decode_container(io.BytesIO(content), name)
    except MemoryError:
        raise AudioError(name, TOO_LARGE, "too-large") from None
    return _mono(samples, sample_rate, name)


def _mono(samples: Wave, sample_rate: int, name: str) -> tuple[Wave, int]:
    """Samples (T, C) to the mean of the channels (T,), checked, and the rate."""
    _check_rate(name, sample_rate)
    wave = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return check_wave(np.ascontiguousarray(wave), name), int(sample_rate)


def _read(source: str | io.BytesIO, segment: Segment) -> tuple[Wave, int]:
    """Samples (T, C) and the rate. 16-bit audio is scaled here: libsndfile is slower at it."""
    with soundfile.SoundFile(source) as file:
        count = -1
        if not segment.is_whole:
            inside = segment.samples(file.frames, file.samplerate)
            file.seek(inside.start)
            count = inside.stop - inside.start
        if file.subtype != "PCM_16":
            return file.read(count, dtype="float32", always_2d=True), file.samplerate
        samples = file.read(count, dtype="int16", always_2d=True)
        return np.multiply(samples, np.float32(1 / 32_768), dtype=np.float32), file.samplerate


def _decode_container(source: str | io.BytesIO, name: str) -> tuple[Wave, int]:
    """Samples (T, C) and the rate; a missing PyAV is the error of one recording, not of a job."""
    try:
        return ffmpeg.decode_container(source, name)
    except MissingExtraError as error:
        raise AudioError(name, str(error), "missing-extra") from None


@contextmanager
def _opened(file: str) -> Iterator[soundfile.SoundFile]:
    """A file, or one behind a URL of which only what is asked for is read."""
    if not is_url(file):
        _check_regular(file, file)
        with soundfile.SoundFile(file) as opened:
            yield opened
        return
    with open_url(file) as remote, soundfile.SoundFile(remote) as opened:
        yield opened


def _check_regular(path: str, file: str) -> None:
    """AudioError for what is on disk and no file or folder: reading a FIFO or device never ends."""
    if is_url(file):
        return
    try:
        mode = Path(file).stat().st_mode
    except (OSError, ValueError):  # the one who opens it says why
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise AudioError(path, "is a pipe, socket or device, not a regular file", "unsupported")


def _check_rate(path: str, sample_rate: int) -> None:
    if not PLAUSIBLE_RATES[0] <= sample_rate <= PLAUSIBLE_RATES[1]:
        reason = f"its header claims an impossible rate of {sample_rate} Hz"
        raise AudioError(path, reason, "unreadable")


def read_header(path: str | Path) -> tuple[int, int, int]:
    """Sample rate in Hz, samples and channels, without decoding where that can be.

    What a container says of its own length may be off by the codec's padding: it is decoded.
    Raises AudioError when there is no header to read, or no such segment.
    """
    segment = Segment.of(str(path))
    try:
        with _opened(segment.file) as file:
            sample_rate, samples, channels = file.samplerate, file.frames, file.channels
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        if is_url(path) or not ffmpeg.is_container(segment.file):
            raise _why_unreadable(str(path), segment.file, error) from None
        content, sample_rate = _decode_container(segment.file, segment.file)
        samples, channels = content.shape
    _check_rate(str(path), sample_rate)
    inside = segment.samples(samples, sample_rate)
    return int(sample_rate), inside.stop - inside.start, int(channels)


def stated_seconds(path: str | Path) -> float | None:
    """The length that a recording's header states, or None; nothing is decoded."""
    segment = Segment.of(str(path))
    try:
        with _opened(segment.file) as file:
            inside = segment.samples(file.frames, file.samplerate)
            return float((inside.stop - inside.start) / file.samplerate)
    except (soundfile.LibsndfileError, OSError, ValueError, AudioError):
        return None


def _why_unreadable(path: str, file: str, error: Exception) -> AudioError:
    """The error of a recording named `path`, in `file`, that libsndfile refused with `error`."""
    if is_url(file):
        kind: AudioErrorKind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return AudioError(path, f"cannot be read as audio ({error})", kind)
    try:
        status = Path(file).stat()
    except FileNotFoundError:
        return AudioError(path, "no such file", "missing")
    except OSError as refusal:
        return AudioError(path, f"cannot be opened ({refusal.strerror})", "unreadable")
    if stat.S_ISDIR(status.st_mode):
        return AudioError(path, "is a folder; name a recording inside it", "unreadable")
    if status.st_size == 0:
        return AudioError(path, "the file is empty (0 bytes)", "empty")
    return AudioError(path, _unreadable(error), "unreadable")


def _unreadable(error: Exception) -> str:
    cause = str(error).rstrip(".").rsplit(": ", 1)[-1]
    return f"cannot be read as audio ({cause}); wav, flac, ogg (Vorbis, Opus) and mp3 are read"


def check_wave(wave: NDArray[Any], name: str) -> Wave:
    """Return `wave` as float32 (T,), or raise AudioError when it holds no usable sound.

    Integer arrays are taken as PCM and scaled to [-1, 1].
    """
    if wave.ndim != 1:
        reason = f"one channel of shape (T,) is needed, got shape {wave.shape}"
        raise AudioError(name, reason, "unsupported")
    if np.issubdtype(wave.dtype, np.signedinteger):
        wave = wave.astype(np.float32) / -float(np.iinfo(wave.dtype).min)
    elif not np.issubdtype(wave.dtype, np.floating):
        reason = f"samples must be floats or signed integers, got {wave.dtype}"
        raise AudioError(name, reason, "unsupported")
    wave = wave.astype(np.float32, copy=False)
    if wave.size == 0:
        raise AudioError(name, "the recording is empty (no samples)", "empty")
    peak = max(float(wave.max()), -float(wave.min()))
    if not np.isfinite(peak):
        raise AudioError(name, "the recording holds NaN or infinite samples", "not-finite")
    if peak <= SILENCE_PEAK:
        raise AudioError(name, "the recording is silent", "silent")
    return wave


def resample(wave: Wave, source_rate: int, target_rate: int) -> Wave:
    """Band-limited resampling (soxr HQ); the same rate returns the same array."""
    if source_rate == target_rate:
        return wave
    return np.asarray(soxr.resample(wave, source_rate, target_rate, quality="HQ"), dtype=np.float32)


def to_int16(wave: Wave) -> NDArray[np.int16]:
    """Quantize [-1, 1] to 16-bit PCM; what lies beyond is clipped, never wrapped."""
    scaled = np.rint(wave * np.float32(32_768.0))
    return np.asarray(np.clip(scaled, -32_768, 32_767), dtype=np.int16)
