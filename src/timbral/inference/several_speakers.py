"""Detect several speakers in a recording, by two clusters of its windows."""

from __future__ import annotations

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.quality.risks import Risk
from timbral.embeddings.clustering import spherical_k_means
from timbral.embeddings.vectors import finite_rows
from timbral.inference.embedder import Embedder
from timbral.inference.speech_windows import SPEECH_FRACTION, speech_fractions
from timbral.io.types import Vectors

__all__ = ["cluster_distances", "several_speakers", "several_speakers_of"]

WINDOW_SECONDS = 1.5
MOST_WINDOWS = 400
"""10 minutes of speech, spread over the recording; more windows give no better result"""
LEAST_WINDOWS = 2
"""windows of each speaker; a single one may be a cough or a laugh"""
CENTER_DISTANCE = 0.5
"""cosine distance of the clusters' means (campplus-zh-en): of one speaker at most 0.48 in 120
recordings, of two speakers 0.7 or more in three of four; docs/check.md has the rates"""
DISTANCE_RATIO = 1.3
"""ratio of the mean distance of windows in different clusters to that within clusters"""


def several_speakers(embedder: Embedder, path: str) -> Risk | None:
    """The risk several-speakers of a recording, or None.

    Raises AudioError if it cannot be embedded.
    """
    return several_speakers_of(embedder, embedder.load_audio(path))


def several_speakers_of(embedder: Embedder, wave: Wave) -> Risk | None:
    """Like `several_speakers`, for a wave (T,) from `embedder.load_audio`."""
    vectors = _speech_vectors(embedder, wave)
    if len(vectors) < 2 * LEAST_WINDOWS:
        return None
    center_distance, ratio, smaller = cluster_distances(vectors)
    if smaller < LEAST_WINDOWS or center_distance < CENTER_DISTANCE or ratio < DISTANCE_RATIO:
        return None
    seconds = smaller / len(vectors)
    message = (
        f"another speaker talks in about {seconds:.0%} of its speech: cut it into one recording "
        "per speaker"
    )
    return Risk("several-speakers", message)


def cluster_distances(vectors: Vectors) -> tuple[float, float, int]:
    """Distances of two clusters of unit vectors (W, E), and the size of the smaller one.

    Returns the cosine distance of the clusters' means, the ratio of the mean distance between
    vectors of different clusters to that within clusters, and the size.
    """
    labels = spherical_k_means(vectors, 2)
    first, second = vectors[labels == 0], vectors[labels == 1]
    if not len(second):
        return 0.0, 1.0, 0
    means = first.mean(axis=0), second.mean(axis=0)
    lengths = float(np.linalg.norm(means[0]) * np.linalg.norm(means[1])) + 1e-9
    across = 1 - float(np.dot(*means))  # the mean of all cosines is the product of the means
    within = np.mean([_distance_within(each) for each in (first, second) if len(each) > 1] or [1])
    return 1 - float(np.dot(*means)) / lengths, across / (float(within) + 1e-9), len(second)


def _distance_within(vectors: Vectors) -> float:
    """The mean cosine distance of pairs of different unit vectors (W, E)."""
    count = len(vectors)
    all_pairs = float(np.square(vectors.sum(axis=0)).sum())
    return 1 - (all_pairs - count) / (count * (count - 1))


def _speech_vectors(embedder: Embedder, wave: Wave) -> Vectors:
    """Unit vectors (W, E) of adjacent windows that are mostly speech."""
    size = round(WINDOW_SECONDS * embedder.sample_rate)
    starts = np.arange(len(wave) // size) * size
    ranges = np.stack([starts, starts + size], axis=1)
    if not len(ranges):
        return np.zeros((0, embedder.embedding_dim), np.float32)
    speech = speech_fractions(wave, embedder.sample_rate, ranges)
    rows = np.flatnonzero(speech >= SPEECH_FRACTION)
    if rows.size > MOST_WINDOWS:
        rows = rows[np.linspace(0, rows.size - 1, MOST_WINDOWS).astype(np.intp)]
    if rows.size < 2 * LEAST_WINDOWS or size < embedder.runtime.network.min_samples:
        return np.zeros((0, embedder.embedding_dim), np.float32)
    windows = [wave[row * size : (row + 1) * size] for row in rows]
    vectors = embedder.encode_preprocessed(windows)
    return vectors[finite_rows(vectors)]
