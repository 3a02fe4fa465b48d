"""Recordings: decode, check, resample.

Everywhere in timbral a recording is mono float32 of shape (T,), in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from timbral.audio.byte_source import (
    content_source,
    open_source,
    undecodable,
    why_unreadable,
)
from timbral.audio.ffmpeg import FFMPEG_SUFFIXES
from timbral.audio.full_scale import to_full_scale
from timbral.audio.length_limit import NO_LIMIT, LengthLimit
from timbral.audio.opening import is_decoded_whole, open_sound
from timbral.audio.segments import Segment
from timbral.audio.sound import Samples, Sound
from timbral.errors import AudioError, TimbralError

__all__ = [
    "AUDIO_SUFFIXES",
    "CANCELLATION",
    "PLAUSIBLE_RATES",
    "SAMPLE_RATE",
    "SILENCE_PEAK",
    "Wave",
    "as_float32",
    "check_wave",
    "decode",
    "decode_as_is",
    "decode_bytes",
    "decode_bytes_with_channels",
    "decode_channels",
    "decode_with_channels",
    "failures_of",
    "read_header",
    "resample",
    "silence_of_fewer_bits",
    "stated_seconds",
    "to_int16",
]

Wave = NDArray[np.float32]

SAMPLE_RATE = 16_000
LIBSNDFILE_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au"),
    *(".snd", ".sph", ".nist", ".caf", ".w64", ".rf64", ".voc"),
)
AUDIO_SUFFIXES = frozenset({*LIBSNDFILE_SUFFIXES, *FFMPEG_SUFFIXES})
"""suffixes of recordings in a folder; a path that is given may have any suffix"""
PLAUSIBLE_RATES = (1_000, 768_000)
"""lowest and highest sample rate in Hz; a header with another one is damaged"""
TOO_LARGE = "its header states more audio than fits into memory"
NARROWER = (
    "give 16-bit numbers as int16 (samples.astype(np.int16)), 32-bit numbers as int32, or floats "
    "in [-1, 1]"
)
SILENCE_PEAK = 2 / 32_768
"""two steps of 16-bit audio: dither, not sound"""
WIDENED_PEAKS = (2.0**-23, 2.0**-16)
"""peaks of 16-bit numbers (256 to 32,768) that were read as numbers of 32 bits"""
CANCELLATION = 0.01
"""RMS level of the channels' mean over that of the loudest channel, below which channels cancel out
(40 dB)"""
MISSING_SECONDS = 0.1
"""seconds by which a header may exceed the content: some count padding, or the header itself"""


def decode(path: str | Path) -> tuple[Wave, int]:
    """Read a recording, a file or a URL, at its own rate; channels are averaged.

    Returns the wave (T,) and its sample rate in Hz. For ``FILE#t=START,END`` only that segment is
    read; channel, rate, speed and gain are applied if the path gives them (`Segment`). The format
    is recognized by content, not by name. A recording that exceeds full scale is scaled
    (`to_full_scale`). Raises AudioError if the file is missing, unreadable, truncated, empty,
    silent, out of range, contains NaN or lacks the segment, or if it needs PyAV (m4a and the like),
    which is not installed.
    """
    wave, sample_rate = decode_as_is(path)
    return check_wave(wave, str(path)), sample_rate


def decode_as_is(path: str | Path) -> tuple[Wave, int]:
    """Like `decode`, but at any scale, and possibly silent or not finite."""
    segment = Segment.of(str(path))
    with _opened(segment, str(path), whole=True) as sound:
        return _read(sound, segment, str(path))


def decode_channels(path: str | Path) -> tuple[Samples, int]:
    """Like `decode`, but all channels (T, C), and a silent recording is no error."""
    segment, name = Segment.of(str(path)), str(path)
    with _opened(segment, name, whole=True) as sound:
        samples = _played(_samples(sound, segment, name), sound, segment)
        sample_rate = segment.played_rate(sound.sample_rate)
    if samples.size == 0:
        raise AudioError(name, "the recording is empty (no samples)", "empty")
    peak = _peak(samples)
    if not np.isfinite(peak):
        raise AudioError(name, "the recording contains NaN or infinite samples", "not-finite")
    return to_full_scale(samples, peak, name), sample_rate


def decode_with_channels(path: str | Path) -> tuple[Wave, Samples, int]:
    """The results of `decode`, and all channels (T, C) of the same samples, in [-1, 1]."""
    segment, name = Segment.of(str(path)), str(path)
    with _opened(segment, name, whole=True) as sound:
        return _with_channels(sound, segment, name)


def _with_channels(sound: Sound, segment: Segment, name: str) -> tuple[Wave, Samples, int]:
    raw = _samples(sound, segment, name)
    wave = check_wave(_played(_mono(raw, name), sound, segment), name)
    sample_rate = segment.played_rate(sound.sample_rate)
    if raw.shape[1] == 1:
        return wave, wave[:, None], sample_rate
    channels = _played(raw, sound, segment)
    return wave, channels / np.float32(max(1.0, _peak(channels))), sample_rate


def _peak(samples: NDArray[np.float32]) -> float:
    return max(float(samples.max()), -float(samples.min()))


def decode_bytes(content: bytes, name: str, limit: LengthLimit = NO_LIMIT) -> tuple[Wave, int]:
    """Like `decode`, for the content of an audio file in memory; errors call it `name`.

    Decoding stops as soon as a recording exceeds `limit`.
    """
    with failures_of(name), _open_content(content, name, limit) as sound:
        wave, sample_rate = _read(sound, Segment(name), name)
    return check_wave(wave, name), sample_rate


def decode_bytes_with_channels(
    content: bytes, name: str, limit: LengthLimit = NO_LIMIT
) -> tuple[Wave, Samples, int]:
    """Like `decode_with_channels`, for the content of an audio file in memory."""
    with failures_of(name), _open_content(content, name, limit) as sound:
        return _with_channels(sound, Segment(name), name)


def _read(sound: Sound, segment: Segment, name: str) -> tuple[Wave, int]:
    """A segment's samples (T,), the mean of the channels, and the rate."""
    wave = _mono(_samples(sound, segment, name), name)
    return _played(wave, sound, segment), segment.played_rate(sound.sample_rate)


def _samples(sound: Sound, segment: Segment, name: str) -> Samples:
    """A segment's samples (T, C) as they are in the file, of its channel or all."""
    inside = _inside(sound, segment, name)
    samples = sound.read(inside.start, inside.stop)
    _check_complete(name, len(samples), inside.stop - inside.start, sound.sample_rate)
    return _channel(samples, segment, name)


def _played(samples: Samples, sound: Sound, segment: Segment) -> Samples:
    """Samples (T,) or (T, C) after the rate, speed and gain of a segment are applied."""
    if segment.rate is not None:
        samples = resample(samples, sound.sample_rate, segment.rate)
    if segment.gain != 1:
        samples = samples * np.float32(segment.gain)
    return samples


def _channel(samples: Samples, segment: Segment, name: str) -> Samples:
    """The channel (T, 1) of a segment from samples (T, C), or all channels."""
    if segment.channel is None:
        return samples
    if segment.channel >= samples.shape[1]:
        held = f"{samples.shape[1]}, counted from 0 (#channel=0)"
        reason = f"has no channel {segment.channel}; it has {held}"
        raise AudioError(name, reason, "no-such-segment")
    return samples[:, segment.channel : segment.channel + 1]


def _mono(samples: Samples, name: str) -> Wave:
    """The mean (T,) of the channels of samples (T, C)."""
    if samples.shape[1] == 1:
        return np.ascontiguousarray(samples[:, 0])
    with np.errstate(all="ignore"):  # samples may be of any size; `check_wave` looks at them
        wave: Wave = np.ascontiguousarray(samples.mean(axis=1))
        if _rms(wave) < CANCELLATION:  # a quick check that all canceling channels pass
            loudest = max(map(_rms, samples.T))
            if loudest > SILENCE_PEAK and _rms(wave) < CANCELLATION * loudest:
                reason = (
                    f"its channels cancel out ({_opposite(samples)} are of opposite phase), so "
                    "their mean is silent; use one of them (#channel=0 after the path)"
                )
                raise AudioError(name, reason, "silent")
    return wave


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(wave), dtype=np.float64))) if wave.size else 0.0


def _opposite(samples: Samples) -> str:
    """The two channels with the weakest sum, in words, counted from 1."""
    loudest = int(np.argmax([_rms(channel) for channel in samples.T]))
    sums = [_rms(channel + samples[:, loudest]) for channel in samples.T]
    return " and ".join(str(channel + 1) for channel in sorted((loudest, int(np.argmin(sums)))))


def _inside(sound: Sound, segment: Segment, name: str) -> slice:
    """The range of a segment's samples; AudioError if some are missing."""
    inside = segment.samples(sound.stated_samples, sound.sample_rate)
    there = min(inside.stop, sound.num_samples) - min(inside.start, sound.num_samples)
    _check_complete(name, there, inside.stop - inside.start, sound.sample_rate)
    return slice(inside.start, inside.start + there)


def _check_complete(name: str, count: int, promised: int, sample_rate: int) -> None:
    if promised - count > MISSING_SECONDS * sample_rate:
        reason = (
            f"the recording is truncated: {count / sample_rate:.2f} of "
            f"{promised / sample_rate:.2f} s are there; fetch or copy it again"
        )
        raise AudioError(name, reason, "truncated")


@contextmanager
def failures_of(name: str) -> Iterator[None]:
    """Turn any exception for one recording into an AudioError, which does not end a long job."""
    try:
        yield
    except TimbralError:
        raise
    except MemoryError:
        raise AudioError(name, TOO_LARGE, "too-large") from None
    except Exception as error:
        reason = f"cannot be used ({type(error).__name__}: {error})"
        raise AudioError(name, reason, "unreadable") from error


@contextmanager
def _opened(segment: Segment, name: str, *, whole: bool) -> Iterator[Sound]:
    """Open a file or URL; all errors become AudioErrors."""
    with failures_of(name):
        try:
            with (
                open_source(segment.file, name, whole=whole, within=segment.within) as source,
                open_sound(source) as sound,
            ):
                _check_rate(name, sound.sample_rate)
                yield sound
        except (soundfile.LibsndfileError, OSError, ValueError) as error:
            raise why_unreadable(name, segment.file, error) from None


@contextmanager
def _open_content(content: bytes, name: str, limit: LengthLimit) -> Iterator[Sound]:
    """Open the content of an audio file; all errors become AudioErrors."""
    try:
        with open_sound(content_source(content, name, limit)) as sound:
            _check_rate(name, sound.sample_rate)
            yield sound
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        raise undecodable(name, len(content), error) from None


def _check_rate(path: str, sample_rate: int) -> None:
    if not PLAUSIBLE_RATES[0] <= sample_rate <= PLAUSIBLE_RATES[1]:
        reason = f"its header states an impossible sample rate of {sample_rate} Hz"
        raise AudioError(path, reason, "unreadable")


def read_header(path: str | Path) -> tuple[int, int, int]:
    """Sample rate in Hz, number of samples and of channels, as `decode` will return.

    Nothing is decoded if the length is known otherwise (`open_sound`). Raises AudioError if the
    file cannot be read, has fewer samples than its header states, or lacks the segment.
    """
    segment = Segment.of(str(path))
    with _opened(segment, str(path), whole=False) as sound:
        inside = _inside(sound, segment, str(path))
        count = inside.stop - inside.start
        if segment.rate is not None:
            count = round(count * segment.rate / sound.sample_rate)
        channels = sound.channels if segment.channel is None else 1
        return segment.played_rate(sound.sample_rate), count, channels


def stated_seconds(path: str | Path) -> float | None:
    """The length of a recording in seconds; None if that needs decoding, or it is unreadable."""
    segment = Segment.of(str(path))
    try:
        with (
            failures_of(str(path)),
            open_source(segment.file, str(path), whole=False, within=segment.within) as source,
        ):
            if is_decoded_whole(source):
                return None
            with open_sound(source) as sound:
                inside = segment.samples(sound.num_samples, sound.sample_rate)
                return float((inside.stop - inside.start) / sound.sample_rate / segment.speed)
    except AudioError:
        return None


def as_float32(wave: NDArray[Any], name: str) -> Wave:
    """Samples (T,) as float32: integers are scaled as PCM, floats keep their scale.

    Raises AudioError, which calls them `name`, for other types and shapes.
    """
    if wave.ndim != 1:
        reason = f"one channel of shape (T,) is needed, got an array of shape {wave.shape}"
        raise AudioError(name, reason, "unsupported")
    if np.issubdtype(wave.dtype, np.int64):
        reason = f"its samples are int64, whose full scale is unknown; {NARROWER}"
        raise AudioError(name, reason, "unsupported")
    if np.issubdtype(wave.dtype, np.signedinteger):
        wave = wave.astype(np.float32) / -float(np.iinfo(wave.dtype).min)
    elif not np.issubdtype(wave.dtype, np.floating):
        reason = f"samples must be floats or signed integers, got {wave.dtype}"
        raise AudioError(name, reason, "unsupported")
    return wave.astype(np.float32, copy=False)


def silence_of_fewer_bits(peak: float) -> str:
    """A hint for an error, if a peak may be that of 16-bit numbers in a file of 32 bits."""
    if not WIDENED_PEAKS[0] <= peak <= WIDENED_PEAKS[1]:
        return ""
    return (
        f": its samples reach {peak:.1e} of full scale, less than a step of 16 bits; if they are "
        "16-bit numbers that were written as 32-bit ones, multiply them by 65,536"
    )


def _of_fewer_bits(wave: NDArray[Any], peak: float) -> str:
    """The same hint, also for integers of 32 bits that may contain 16-bit numbers."""
    if wave.dtype != np.int32 or not wave.any():
        return silence_of_fewer_bits(peak)
    largest = int(np.abs(wave.astype(np.int64)).max())
    return f": its int32 samples reach {largest:,} of 2,147,483,648; {NARROWER}"


def check_wave(wave: NDArray[Any], name: str) -> Wave:
    """Return `wave` as float32 (T,) in [-1, 1], or raise AudioError if it has no usable sound.

    Integer arrays are taken as PCM and scaled to [-1, 1], floats beyond it as `to_full_scale` says.
    """
    given, wave = wave, as_float32(wave, name)
    if wave.size == 0:
        raise AudioError(name, "the recording is empty (no samples)", "empty")
    peak = _peak(wave)
    if not np.isfinite(peak):
        raise AudioError(name, "the recording contains NaN or infinite samples", "not-finite")
    if peak <= SILENCE_PEAK:
        raise AudioError(name, f"the recording is silent{_of_fewer_bits(given, peak)}", "silent")
    return wave if peak <= 1.0 else to_full_scale(wave, peak, name)


def resample(wave: Wave, source_rate: int, target_rate: int) -> Wave:
    """Band-limited resampling (soxr HQ); the same rate returns the same array."""
    if source_rate == target_rate:
        return wave
    return np.asarray(soxr.resample(wave, source_rate, target_rate, quality="HQ"), dtype=np.float32)


def to_int16(wave: Wave) -> NDArray[np.int16]:
    """Quantize [-1, 1] to 16-bit PCM; larger samples are clipped, never wrapped."""
    scaled = np.rint(wave * np.float32(32_768.0))
    return np.asarray(np.clip(scaled, -32_768, 32_767), dtype=np.int16)
