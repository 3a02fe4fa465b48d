"""A recording in the two parts that differ most, and their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import finite_rows, unit_length
from timbral.inference.embedder import Embedder
from timbral.inference.speech_windows import speech_extent, speech_windows
from timbral.io.types import Ints, Vectors

__all__ = ["RecordingParts", "parts_of"]

LEAST_FRACTION = 0.2
"""of the windows, in each part"""
PART_SECONDS = (0.25, 30.0)
"""the shortest part, and how much next to the moment is taken of a long one"""


@dataclass(frozen=True)
class RecordingParts:
    """What lies before and behind a moment."""

    vectors: Vectors
    """(2, E), unit length"""
    seconds: tuple[float, float]
    """that they last"""
    moment: float
    """seconds from the start of the wave"""


def parts_of(embedder: Embedder, waves: list[Wave]) -> list[RecordingParts | None]:
    """The parts of recordings, waves (T,) that `embedder.load_audio` gave, in few batches.

    The moment is where the mean vectors of the windows before and behind it have the lowest
    cosine. None for a recording with fewer than two windows that are mostly speech.
    """
    rate, min_samples = embedder.sample_rate, embedder.runtime.network.min_samples
    shortest, longest = (round(seconds * rate) for seconds in PART_SECONDS)
    least = max(shortest, min_samples)
    ranges = [speech_windows(wave, rate, min_samples) for wave in waves]
    windows = _encode(embedder, waves, ranges)
    cuts = [
        _cut(each, vectors, speech_extent(wave, rate), (least, longest))
        for wave, each, vectors in zip(waves, ranges, windows, strict=True)
    ]
    found: list[RecordingParts | None] = []
    for cut, vectors in zip(cuts, _encode(embedder, waves, cuts), strict=True):
        if len(cut) and finite_rows(vectors).all():
            before, behind = ((cut[:, 1] - cut[:, 0]) / rate).tolist()
            moment = float(cut[0, 1] / rate)
            found.append(RecordingParts(vectors.astype(np.float32), (before, behind), moment))
        else:
            found.append(None)
    return found


def _encode(embedder: Embedder, waves: list[Wave], ranges: list[Ints]) -> list[Vectors]:
    """The vectors (W, E) of ranges (W, 2) of samples of each wave."""
    cut = [
        wave[start:end]
        for wave, each in zip(waves, ranges, strict=True)
        for start, end in each.tolist()
    ]
    empty = np.zeros((0, embedder.embedding_dim), np.float32)
    vectors = embedder.encode_preprocessed(cut) if cut else empty
    return np.split(vectors, np.cumsum([len(each) for each in ranges])[:-1])


def _cut(ranges: Ints, vectors: Vectors, extent: tuple[int, int], lengths: tuple[int, int]) -> Ints:
    """First and end samples (2, 2) of both parts; (0, 2) where there are none.

    Windows (W, 2) of samples with their vectors (W, E), where speech begins and ends, and how long
    a part is at least and at most. The moment lies in the middle of the last window before it and
    the first behind it together.

        [────────]                            windows overlap by half
             [────────]
                  [────────]
          └ before ┘└─ behind ─┘              parts, from the first speech to the last
    """
    finite = finite_rows(vectors)
    ranges, vectors = ranges[finite], unit_length(vectors[finite])
    if len(ranges) < 2:
        return np.zeros((0, 2), np.int64)
    count, (begin, end), (least, most) = len(ranges), extent, lengths
    edge = max(1, int(np.ceil(LEAST_FRACTION * count)))
    firsts = np.arange(edge, count - edge + 1)
    moments = (ranges[firsts - 1, 0] + ranges[firsts, 1]) // 2
    kept = (moments - begin >= least) & (end - moments >= least)
    firsts, moments = firsts[kept], moments[kept]
    if not len(firsts):
        return np.zeros((0, 2), np.int64)
    sums = np.cumsum(vectors, axis=0, dtype=np.float64)
    cosines = (unit_length(sums[firsts - 1]) * unit_length(sums[-1] - sums[firsts - 1])).sum(axis=1)
    moment = int(moments[cosines.argmin()])
    return np.array([[max(begin, moment - most), moment], [moment, min(end, moment + most)]])
