"""The forms of recordings that the Embedder accepts, and how their samples are read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import PLAUSIBLE_RATES, Wave, check_wave, decode, decode_bytes
from timbral.audio.length_limit import NO_LIMIT, LengthLimit
from timbral.embeddings.vectors import finite_rows
from timbral.errors import AudioError, ConfigError, InputError
from timbral.io.loaded_torch import is_tensor
from timbral.io.masked_arrays import refuse_masked
from timbral.io.types import Vectors

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Recording",
    "check_finite",
    "name_of",
    "no_finite_vector",
    "one_channel",
    "read_recording",
    "several_recordings",
    "too_short",
    "whole_rate",
]


class BinaryFile(Protocol):
    """An object open for reading bytes: a file, `io.BytesIO`, an upload."""

    def read(self) -> bytes: ...


Samples: TypeAlias = "NDArray[Any] | Tensor"
"""one channel, (T,), (1, T) or (T, 1): floats in [-1, 1], or signed integers as in PCM"""
Recording: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Samples"
    " | tuple[Samples, float] | tuple[float, Samples] | Mapping[str, Any]"
)
"""One recording: a path or URL, the content of an audio file or an open file, samples, a pair of
samples and their rate in either order, or a mapping as in Hugging Face datasets: ``{"array":
samples, "sampling_rate": rate}``, or ``{"bytes": …, "path": …}`` when not decoded."""

TAKEN = (
    "a recording is a path or URL (str, Path), the bytes of an audio file or a file open for "
    "reading them, samples (T,) as a NumPy array or tensor, a tuple (samples, sample_rate), or a "
    "mapping with 'array' and 'sampling_rate'"
)


def several_recordings(audio: object) -> Sequence[object] | None:
    """The recordings of a list or tuple; None for a single recording."""
    if isinstance(audio, list) or (isinstance(audio, tuple) and _with_rate(audio) is None):
        return audio
    return None


def name_of(audio: object, argument: str) -> str:
    """The name of a recording in errors: its path, else its argument."""
    return os.fspath(audio) if isinstance(audio, str | os.PathLike) else argument


def no_finite_vector(name: str) -> AudioError:
    """The reason to refuse a recording with NaN or infinite numbers in its vector."""
    reason = (
        "its vector is not finite: its samples are far outside [-1, 1], or the encoder's weights "
        "are damaged"
    )
    return AudioError(name, reason, "not-finite")


def too_short(name: str, samples: int, sample_rate: int, encoder: str, least: int) -> AudioError:
    """The error for a recording of `samples`, of which `encoder` needs `least`."""
    reason = (
        f"{samples / sample_rate:.3f} s of audio is too short; {encoder} needs "
        f"{least / sample_rate:.2f} s or more"
    )
    return AudioError(name, reason, "too-short")


def check_finite(vectors: Vectors, names: Sequence[str]) -> Vectors:
    """The vectors (N, E) of N recordings, or of one; AudioError for the first not finite one."""
    if len(bad := np.flatnonzero(~finite_rows(vectors))):
        raise no_finite_vector(names[bad[0] if len(names) > 1 else 0])
    return vectors


def read_recording(
    audio: object,
    name: str,
    sample_rate: float | None,
    default_rate: int,
    limit: LengthLimit = NO_LIMIT,
) -> tuple[Wave, int]:
    """Read a recording: samples, mono float32 (T,), and their rate in Hz.

    Samples without a rate have `sample_rate`, else `default_rate`; files have their own. The
    content of a file beyond `limit` is refused before decoding. Raises AudioError if the recording
    cannot be used, InputError for any other object, and ConfigError for an impossible rate.
    """
    if isinstance(audio, str | os.PathLike):
        return decode(os.fspath(audio))
    if isinstance(audio, Mapping):
        return _read_mapping(audio, name, sample_rate, default_rate)
    if isinstance(audio, bytes | bytearray | memoryview):
        return decode_bytes(bytes(audio), f"{name} ({len(audio):,} bytes)", limit)
    if isinstance(audio, tuple) and (pair := _with_rate(audio)) is not None:
        samples, rate = pair
        return read_recording(samples, name, rate, default_rate)
    if _are_samples(audio):
        rate = default_rate if sample_rate is None else whole_rate(sample_rate, name)
        return _one_channel(audio, name), rate
    if callable(read := getattr(audio, "read", None)):
        content = read()
        if not isinstance(content, bytes):
            raise InputError(f"{name}: the file must be opened for bytes ('rb'), not for text")
        return decode_bytes(content, str(getattr(audio, "name", name)), limit)
    raise InputError(f"{name}: {TAKEN}; got {_describe(audio)}")


def whole_rate(rate: object, name: str) -> int:
    """A sample rate in Hz as a whole number; ConfigError for an impossible one."""
    low, high = PLAUSIBLE_RATES
    if isinstance(rate, int | float | np.number) and not isinstance(rate, bool):
        value = float(rate)
        if math.isfinite(value) and value.is_integer() and low <= value <= high:
            return int(value)
    raise ConfigError(
        f"{name}: sample_rate must be a whole number of Hz from {low:,} to {high:,}, got {rate!r}"
    )


def _with_rate(audio: tuple[Any, ...]) -> tuple[Any, Any] | None:
    """(samples, rate) from a tuple of these two in either order; else None."""
    if len(audio) != 2:
        return None
    first, second = audio
    if _are_samples(first) and _is_number(second):
        return first, second
    if _are_samples(second) and _is_number(first):
        return second, first
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number)


def _read_mapping(
    audio: Mapping[Any, Any], name: str, sample_rate: float | None, default_rate: int
) -> tuple[Wave, int]:
    if "array" in audio and "sampling_rate" in audio:
        samples = audio["array"]
        if isinstance(samples, list):  # as datasets give it without a NumPy format
            samples = np.asarray(samples, dtype=np.float32)
        return read_recording((samples, audio["sampling_rate"]), name, None, default_rate)
    for key in ("bytes", "path"):
        if audio.get(key) is not None:
            return read_recording(audio[key], name, sample_rate, default_rate)
    raise InputError(f"{name}: {TAKEN}; got one with the keys {', '.join(map(repr, audio))}")


def _one_channel(samples: NDArray[Any] | Tensor, name: str) -> Wave:
    return check_wave(one_channel(samples, name), name)


def one_channel(samples: object, name: str) -> NDArray[Any]:
    """Samples (T,), or one channel of shape (1, T) or (T, 1), as an array (T,).

    Raises InputError for other shapes, masked samples, and objects that are not samples.
    """
    if not _are_samples(samples):
        raise InputError(
            f"{name}: samples (T,) as a NumPy array or tensor are needed, got {_describe(samples)}"
        )
    refuse_masked(samples, name)
    try:
        array = _as_array(samples)
    except (TypeError, NotImplementedError) as error:  # a sparse tensor, or one without data
        raise InputError(f"{name}: samples cannot be read from this tensor ({error})") from None
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise InputError(
            f"{name}: one channel of shape (T,) or (1, T) is needed, got shape {array.shape}; "
            "average channels with samples.mean(axis), and give several recordings as a list"
        )
    if not (
        np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.signedinteger)
    ):
        raise InputError(
            f"{name}: samples must be floats in [-1, 1] or signed integers, got {array.dtype}"
        )
    return array


def _are_samples(value: object) -> TypeGuard[Samples]:
    return isinstance(value, np.ndarray) or is_tensor(value)


def _as_array(samples: NDArray[Any] | Tensor) -> NDArray[Any]:
    if isinstance(samples, np.ndarray):
        return samples
    samples = samples.detach().cpu()
    if str(samples.dtype) == "torch.bfloat16":  # NumPy has no such type
        samples = samples.float()
    return np.asarray(samples.numpy())


def _describe(audio: object) -> str:
    kind = f"{type(audio).__name__}"
    return f"{kind} {audio!r}" if isinstance(audio, int | float | None) else kind
