"""Split a recording into the two parts that differ most, and compute their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import finite_rows, unit_length
from timbral.inference.embedder import Embedder
from timbral.inference.speech_windows import speech_extent, speech_windows
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["CUT_VERSION", "RecordingParts", "cut_in_two", "parts_of"]

CUT_VERSION = 2
"""version of the method: stored parts of another one are not reused"""

LEAST_FRACTION = 0.2
"""smallest fraction of the windows in each part"""
PART_SECONDS = (0.25, 30.0)
"""shortest and longest part; of a longer one only the seconds next to the moment are used"""


@dataclass(frozen=True)
class RecordingParts:
    """The parts of a recording before and after a moment."""

    vectors: Vectors
    """(2, E), unit length"""
    seconds: tuple[float, float]
    """their durations"""
    moment: float
    """seconds from the start of the wave"""


def parts_of(embedder: Embedder, waves: list[Wave]) -> list[RecordingParts | None]:
    """The parts of recordings, given as waves (T,) from `embedder.load_audio`, in few batches.

    The moment is where the mean vectors of the windows before and after it have the lowest cosine;
    a window around it belongs to neither. None for a recording with fewer than two windows that are
    mostly speech.
    """
    rate, min_samples = embedder.sample_rate, embedder.runtime.network.min_samples
    shortest, longest = (round(seconds * rate) for seconds in PART_SECONDS)
    least = max(shortest, min_samples)
    ranges = [speech_windows(wave, rate, min_samples) for wave in waves]
    windows = _encode(embedder, waves, ranges)
    cuts = [
        cut_in_two(each, vectors, speech_extent(wave, rate), (least, longest))
        for wave, each, vectors in zip(waves, ranges, windows, strict=True)
    ]
    parts: list[RecordingParts | None] = []
    for cut, vectors in zip(cuts, _encode(embedder, waves, cuts), strict=True):
        if len(cut) and finite_rows(vectors).all():
            before, after = ((cut[:, 1] - cut[:, 0]) / rate).tolist()
            moment = float(cut[0, 1] / rate)
            parts.append(RecordingParts(vectors.astype(np.float32), (before, after), moment))
        else:
            parts.append(None)
    return parts


def _encode(embedder: Embedder, waves: list[Wave], ranges: list[Ints]) -> list[Vectors]:
    """Vectors (W, E) of ranges (W, 2) of samples of each wave."""
    cut = [
        wave[start:end]
        for wave, each in zip(waves, ranges, strict=True)
        for start, end in each.tolist()
    ]
    empty = np.zeros((0, embedder.embedding_dim), np.float32)
    vectors = embedder.encode_preprocessed(cut) if cut else empty
    return np.split(vectors, np.cumsum([len(each) for each in ranges])[:-1])


def cut_in_two(
    ranges: Ints, vectors: Vectors, extent: tuple[int, int], lengths: tuple[int, int]
) -> Ints:
    """Start and end samples (2, 2) of both parts; (0, 2) if there are none.

    `ranges` (W, 2) and `vectors` (W, E) are those of windows, `extent` is the start and end of
    speech, `lengths` the least and the most of a part, all in samples. The moment is between two
    windows, or in the middle of one, which then belongs to neither part, as it may contain both
    voices.

        [────────]                            windows overlap by half
             [────────]
                  [────────]
          └ before ┘└─ after ──┘              between the last two: in the middle of both together
          └─ before ─┘└─ after ┘              in the middle of the last but one
    """
    finite = finite_rows(vectors)
    ranges, vectors = ranges[finite], unit_length(vectors[finite])
    (begin, end), (least, most) = extent, lengths
    moments, cosines = _candidates(ranges, vectors)
    kept = (moments - begin >= least) & (end - moments >= least)
    if not kept.any():
        return np.zeros((0, 2), np.int64)
    moment = _lowest(moments[kept], cosines[kept])
    return np.array([[max(begin, moment - most), moment], [moment, min(end, moment + most)]])


def _candidates(ranges: Ints, vectors: Vectors) -> tuple[Ints, Floats]:
    """Moments (M,), in order, and the cosines of the mean vectors before and after them."""
    count = len(ranges)
    edge = max(1, int(LEAST_FRACTION * count))
    sums = np.cumsum(np.pad(vectors, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    moments, cosines = [], []
    for left_out in (0, 1):
        after = np.arange(edge + left_out, count - edge + 1)  # the first window of that part
        before = after - left_out  # the end of the other one
        if left_out:
            moments.append(ranges[before].sum(axis=1) // 2)
        else:
            moments.append((ranges[after - 1, 0] + ranges[after, 1]) // 2)
        parts = unit_length(sums[before]), unit_length(sums[-1] - sums[after])
        cosines.append((parts[0] * parts[1]).sum(axis=1))
    order = np.argsort(np.concatenate(moments), kind="stable")
    return np.concatenate(moments)[order], np.concatenate(cosines)[order]


def _lowest(moments: Ints, cosines: Floats) -> int:
    """The moment of the lowest of the cosines (M,), between the moments (M,) by a parabola."""
    lowest = int(cosines.argmin())
    if not 0 < lowest < len(moments) - 1:
        return int(moments[lowest])
    left, middle, right = cosines[lowest - 1 : lowest + 2]
    bend = left - 2 * middle + right
    if bend <= 0:
        return int(moments[lowest])
    step = (moments[lowest + 1] - moments[lowest - 1]) / 2
    return int(np.rint(moments[lowest] + step * (left - right) / (2 * bend)))
