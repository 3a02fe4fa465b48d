"""The windows of a recording that arrives in chunks, with the vectors of `encode_windows`.

samples   ─────────────────────┐ so many have come
windows   [──────────]         │  given
                [──────────]   │  given
                      [────────│─]  not before its last sample
held                  └────────┘
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import Wave
from timbral.audio.streamed import StreamedPreprocessing
from timbral.encoders.native_windows import Windows
from timbral.errors import InputError
from timbral.inference.recordings import check_finite, one_channel, too_short
from timbral.inference.windows import native_ranges
from timbral.io.types import Floats, Ints, Vectors

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NativeWindows", "SlidingWindows", "StreamedEncoder", "StreamedWindows", "WindowStream"]

SEEN_HOPS = 4
"""most hops that a front-end's frame covers on either side of its center: its window has at most 8
hops"""


class StreamedWindows(ABC):
    """The windows that are complete after a number of samples, and their vectors."""

    @abstractmethod
    def count(self, samples: int) -> int:
        """Number of windows that further samples cannot change."""

    @abstractmethod
    def ranges(self, first: int, last: int) -> Ints:
        """Start and end samples (W, 2) of the complete windows [first, last)."""

    @abstractmethod
    def last_ranges(self, first: int, samples: int) -> Ints:
        """Start and end samples of windows from `first` on, for a recording that ends now."""

    @abstractmethod
    def needed_from(self, first: int, samples: int) -> int:
        """The first sample that windows from `first` on may depend on."""

    @abstractmethod
    def embed(self, held: Wave, start: int, first: int, ranges: Ints) -> Vectors:
        """Vectors (W, E) of windows from `first` on; the samples `held` begin at `start`."""


class SlidingWindows(StreamedWindows):
    """Windows of `size` samples, each encoded as a separate recording, one every `step` samples."""

    def __init__(self, embed: Callable[[Sequence[Wave]], Vectors], size: int, step: int) -> None:
        self._embed, self._size, self._step = embed, size, step

    def count(self, samples: int) -> int:
        return (samples - self._size) // self._step + 1 if samples >= self._size else 0

    def ranges(self, first: int, last: int) -> Ints:
        starts = np.arange(first, last) * self._step
        return np.stack([starts, starts + self._size], axis=1)

    def last_ranges(self, first: int, samples: int) -> Ints:
        count = self.count(samples)
        if count and (count - 1) * self._step + self._size == samples:
            return self.ranges(first, count)
        last = np.array([[max(0, samples - self._size), samples]])
        return np.concatenate([self.ranges(first, count), last])

    def needed_from(self, first: int, samples: int) -> int:
        return max(0, min(first * self._step, samples - self._size))

    def embed(self, held: Wave, start: int, first: int, ranges: Ints) -> Vectors:
        return self._embed([held[begin - start : end - start] for begin, end in ranges])


class NativeWindows(StreamedWindows):
    """An encoder's own windows, whose frames depend on samples a little beyond both ends."""

    def __init__(
        self, embed: Callable[[Wave, Windows], Vectors], windows: Windows, hop_samples: int
    ) -> None:
        self._embed, self._windows, self._hop = embed, windows, hop_samples
        self._step = windows.step * hop_samples

    def count(self, samples: int) -> int:
        least = (self._windows.frames + SEEN_HOPS) * self._hop
        return (samples - least) // self._step + 1 if samples >= least else 0

    def ranges(self, first: int, last: int) -> Ints:
        starts = np.arange(first, last) * self._step
        return np.stack([starts, starts + self._windows.frames * self._hop], axis=1)

    def last_ranges(self, first: int, samples: int) -> Ints:
        return native_ranges(self._windows, samples, self._hop)[first:]

    def needed_from(self, first: int, samples: int) -> int:
        return max(0, first - 1) * self._step  # one step more, because the next windows see its end

    def embed(self, held: Wave, start: int, first: int, ranges: Ints) -> Vectors:
        before = min(first, 1)
        end = ranges[-1, 1] + SEEN_HOPS * self._hop - start
        return self._embed(held[:end], self._windows)[before : before + len(ranges)]


@dataclass(frozen=True)
class StreamedEncoder:
    """The properties of an encoder that a stream needs."""

    name: str
    sample_rate: int
    embedding_dim: int
    min_samples: int


class WindowStream:
    """Windows of a recording that arrives in chunks; created by `Embedder.window_stream`.

    Not thread-safe.

    Attributes:
        sample_rate: rate of the stream in Hz
        closed: whether the recording has ended
    """

    def __init__(
        self,
        prepared: StreamedPreprocessing,
        windows: StreamedWindows,
        sample_rate: int,
        encoder: StreamedEncoder,
    ) -> None:
        self.sample_rate, self.closed = sample_rate, False
        self._prepared, self._windows, self._encoder = prepared, windows, encoder
        self._held: list[Wave] = []
        """preprocessed samples, from `_start` on"""
        self._start = self._total = self._next = 0

    @property
    def rms_dbfs(self) -> float:
        """The level so far, in dBFS; -200 for silence."""
        return self._prepared.rms_dbfs

    def push(self, samples: NDArray[Any] | Tensor) -> tuple[Floats, Vectors]:
        """Add samples, and return the windows that are now complete.

        Args:
            samples: (T,) of any length, at `sample_rate`: floats in [-1, 1] or signed PCM integers

        Returns:
            times (W, 2) in seconds of the preprocessed recording, and vectors (W, E); W may be 0

        Raises:
            InputError: another shape or type, or the stream is closed
            AudioError: NaN, or outside [-1, 1]; no sample is added, and the stream stays as it was
        """
        self._check_open()
        self._hold(self._prepared.push(one_channel(samples, "samples"), "samples"))
        last = max(self._next, self._windows.count(self._total))
        return self._give(self._windows.ranges(self._next, last))

    def close(self) -> tuple[Floats, Vectors]:
        """End the recording, and return its last windows like `push`.

        Raises AudioError if it was silent or too short, like `encode_windows`.
        """
        self._check_open()
        self.closed = True
        self._hold(self._prepared.close("samples"))
        encoder = self._encoder
        if self._total < encoder.min_samples:
            raise too_short(
                "samples", self._total, encoder.sample_rate, encoder.name, encoder.min_samples
            )
        given = self._give(self._windows.last_ranges(self._next, self._total))
        self._held = []
        return given

    def _check_open(self) -> None:
        if self.closed:
            raise InputError("the stream is closed; open a new one for the next recording")

    def _hold(self, wave: Wave) -> None:
        self._held.append(wave)
        self._total += len(wave)

    def _give(self, ranges: Ints) -> tuple[Floats, Vectors]:
        if not len(ranges):
            return np.zeros((0, 2)), np.zeros((0, self._encoder.embedding_dim), np.float32)
        held = np.concatenate(self._held)
        vectors = self._windows.embed(held, self._start, self._next, ranges)
        self._next += len(ranges)
        needed = max(self._start, self._windows.needed_from(self._next, self._total))
        self._held = [held[needed - self._start :].copy()]
        self._start = min(needed, self._total)
        return ranges / self._encoder.sample_rate, check_finite(vectors, ["samples"])
