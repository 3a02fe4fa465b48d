"""Split a recording into the two parts that differ most, and compute their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import finite_rows, unit_length
from timbral.inference.embedder import Embedder
from timbral.inference.speech_windows import speech_extent, speech_fractions, speech_windows
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["CUT_VERSION", "RecordingParts", "cut_in_two", "parts_at", "parts_of", "windows_of"]

CUT_VERSION = 3
"""version of the method: stored parts of another one are not reused"""

LEAST_FRACTION = 0.2
"""smallest fraction of the windows in each part"""
PART_SECONDS = (0.25, 30.0)
"""shortest and longest part; of a longer one only the seconds next to the moment are used"""
WINDOWS_WEIGHT = 0.5
"""weight of the mean of a part's windows, which is added to its vector"""
LEAST_OVERLAP = 0.8
"""least fraction of such a window that is in the part"""
LEAST_SECONDS = 0.05
"""least `RecordingParts.seconds`, where no speech is found"""


@dataclass(frozen=True)
class RecordingParts:
    """The parts of a recording before and after a moment."""

    vectors: Vectors
    """(2, E), unit length"""
    seconds: tuple[float, float]
    """seconds of speech times its fraction of the duration: pauses say nothing about the speaker,
    and blur the vector"""
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
    lengths = max(shortest, min_samples), longest
    windows = windows_of(embedder, waves)
    cuts = [
        cut_in_two(ranges, vectors, speech_extent(wave, rate), lengths)
        for wave, (ranges, vectors) in zip(waves, windows, strict=True)
    ]
    return parts_at(embedder, waves, windows, cuts)


def windows_of(embedder: Embedder, waves: list[Wave]) -> list[tuple[Ints, Vectors]]:
    """Each wave's windows (W, 2) that are mostly speech, in samples, and their vectors (W, E)."""
    min_samples = embedder.runtime.network.min_samples
    ranges = [speech_windows(wave, embedder.sample_rate, min_samples) for wave in waves]
    return list(zip(ranges, _encode(embedder, waves, ranges), strict=True))


def parts_at(
    embedder: Embedder, waves: list[Wave], windows: list[tuple[Ints, Vectors]], cuts: list[Ints]
) -> list[RecordingParts | None]:
    """The parts of waves with these `windows_of`, cut as by `cut_in_two`; None if not cut."""
    rate = embedder.sample_rate
    parts: list[RecordingParts | None] = []
    encoded = _encode(embedder, waves, cuts)
    for wave, of_wave, cut, vectors in zip(waves, windows, cuts, encoded, strict=True):
        if len(cut) and finite_rows(vectors).all():
            durations = (cut[:, 1] - cut[:, 0]) / rate
            useful = durations * np.square(speech_fractions(wave, rate, cut))
            before, after = np.maximum(useful, LEAST_SECONDS).tolist()
            vectors = _with_windows(vectors, cut, *of_wave)
            parts.append(RecordingParts(vectors, (before, after), float(cut[0, 1] / rate)))
        else:
            parts.append(None)
    return parts


def _with_windows(parts: Vectors, cut: Ints, ranges: Ints, vectors: Vectors) -> Vectors:
    """Unit vectors (2, E) of parts plus the mean of the windows (W, E) in them.

    The windows are other views of the same speech, known anyway, so the sum has less noise.
    """
    finite = finite_rows(vectors)
    ranges, vectors = ranges[finite], unit_length(vectors[finite])
    sums = unit_length(parts)
    for side, (start, end) in enumerate(cut):
        inside = np.minimum(ranges[:, 1], end) - np.maximum(ranges[:, 0], start)
        own = inside >= LEAST_OVERLAP * (ranges[:, 1] - ranges[:, 0])
        if own.any():
            sums[side] += WINDOWS_WEIGHT * unit_length(vectors[own].mean(axis=0))
    return unit_length(sums).astype(np.float32)


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
