"""Many vectors of a speaker to one, or to a few: five ways to average, and centroids."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.embeddings.table import groups, vectors_of
from timbral.embeddings.vectors import unit_length as directions
from timbral.errors import ConfigError, did_you_mean

__all__ = ["AGGREGATES", "CENTROIDS", "clusters_of", "speaker_table"]

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]

TRIMMED_SHARE = 0.1
"""of a speaker's utterances, the farthest, that `trimmed` leaves out; rounded up from four on"""


def mean(vectors: Vectors, seconds: NDArray[np.float64]) -> tuple[Vectors, Rows]:
    """The plain mean, as ddvc writes it."""
    return vectors.mean(axis=0), np.arange(len(vectors))


def normalized_mean(vectors: Vectors, seconds: NDArray[np.float64]) -> tuple[Vectors, Rows]:
    """The mean of the vectors, each made unit length."""
    return directions(vectors).mean(axis=0), np.arange(len(vectors))


def duration_weighted(vectors: Vectors, seconds: NDArray[np.float64]) -> tuple[Vectors, Rows]:
    """The mean in which every second of audio counts the same."""
    weights = seconds / seconds.sum() if seconds.sum() > 0 else np.full(len(vectors), 1.0)
    return np.average(directions(vectors), axis=0, weights=weights), np.arange(len(vectors))


def trimmed(vectors: Vectors, seconds: NDArray[np.float64]) -> tuple[Vectors, Rows]:
    """The mean without the tenth that lies farthest from the medoid; of fewer than four, of all."""
    count = len(vectors)
    drop = math.ceil(TRIMMED_SHARE * count) if count >= 4 else 0
    unit = directions(vectors)
    nearness = unit @ unit[_medoid(unit)]
    kept = np.sort(np.argsort(-nearness, kind="stable")[: count - drop])
    return unit[kept].mean(axis=0), kept


def medoid(vectors: Vectors, seconds: NDArray[np.float64]) -> tuple[Vectors, Rows]:
    """The utterance that is nearest to all others: a vector that a recording really gave."""
    row = _medoid(directions(vectors))
    return vectors[row], np.array([row])


def _medoid(unit: Vectors) -> int:
    return int(np.argmax(unit @ unit.sum(axis=0)))


Aggregate = Callable[[Vectors, NDArray[np.float64]], tuple[Vectors, Rows]]

AGGREGATES: dict[str, Aggregate] = {
    "mean": mean,
    "normalized-mean": normalized_mean,
    "duration-weighted": duration_weighted,
    "trimmed": trimmed,
    "medoid": medoid,
}
"""each takes vectors (N, E) and seconds (N,), gives (E,) and the rows that it rests on"""

CENTROIDS = ("speaker", "session", "cluster")


def clusters_of(vectors: Vectors, count: int, rounds: int = 20) -> Rows:
    """Spherical k-means (Dhillon and Modha, 2001): vectors (N, E) to cluster numbers (N,).

    It starts from the medoid and then from what is farthest from the centers so far, so the same
    vectors always give the same clusters. Numbers are in order of size.
    """
    unit = directions(vectors)
    centers = [unit[_medoid(unit)]]
    while len(centers) < min(count, len(unit)):
        centers.append(unit[int(np.argmin(np.max(unit @ np.stack(centers).T, axis=1)))])
    stacked = np.stack(centers)
    labels = np.zeros(len(unit), dtype=np.int64)
    for _ in range(rounds):
        labels = np.argmax(unit @ stacked.T, axis=1)
        sums = np.stack([unit[labels == label].sum(axis=0) for label in range(len(stacked))])
        empty = np.linalg.norm(sums, axis=1, keepdims=True) == 0
        moved = np.where(empty, stacked, directions(sums))
        if np.array_equal(moved, stacked):
            break
        stacked = moved
    by_size = np.argsort(-np.bincount(labels, minlength=len(stacked)), kind="stable")
    return np.asarray(np.argsort(by_size)[labels])


def speaker_table(
    table: pa.Table,
    aggregate: str = "normalized-mean",
    *,
    centroids: str = "speaker",
    clusters: int = 2,
    unit_length: bool | None = None,
) -> pa.Table:
    """One row a speaker, or one a session or cluster of a speaker.

    `spread` is the mean cosine distance of the row's utterances from its vector; `rests_on` names
    the utterances that went into it. `unit_length` None: as the aggregate gives it, which is
    unit length but for `mean`. The schema's metadata says both.
    """
    if aggregate not in AGGREGATES:
        raise ConfigError(f"unknown aggregate {aggregate!r}{did_you_mean(aggregate, AGGREGATES)}")
    if centroids not in CENTROIDS:
        raise ConfigError(f"unknown centroids {centroids!r}{did_you_mean(centroids, CENTROIDS)}")
    if clusters < 1:
        raise ConfigError(f"--clusters must be 1 or more, got {clusters}")
    unit = aggregate != "mean" if unit_length is None else unit_length
    vectors, seconds = vectors_of(table), table["duration_seconds"].to_numpy()
    utterances = table["utterance"].to_pylist()
    rows: list[dict[str, Any]] = []
    for speaker, part, where in _members(table, vectors, centroids, clusters):
        vector, kept = AGGREGATES[aggregate](vectors[where], seconds[where])
        direction = vector / max(float(np.linalg.norm(vector)), 1e-12)
        row = {
            "speaker": speaker,
            "utterances": len(where),
            "duration_seconds": float(seconds[where].sum()),
            "spread": float(1.0 - (directions(vectors[where]) @ direction).mean()),
            "embedding": np.asarray(direction if unit else vector, dtype=np.float32),
            "rests_on": [utterances[index] for index in where[kept]],
            "centroid": part,
        }
        about = ("encoder", "weights_sha256", "license")
        rows.append({**row, **{name: table[name][int(where[0])].as_py() for name in about}})
    return pa.Table.from_pylist(rows, _schema(table, aggregate, centroids, unit))


def _members(
    table: pa.Table, vectors: Vectors, centroids: str, clusters: int
) -> Iterator[tuple[str, str, Rows]]:
    """Speaker, name of the centroid ("" for the only one), and the rows that belong to it."""
    sessions = np.asarray(table["session"].to_pylist()) if centroids == "session" else None
    for speaker, where in groups(table["speaker"].to_pylist()):
        if centroids == "speaker":
            yield speaker, "", where
            continue
        if sessions is not None:
            names = sessions[where].tolist()
        else:
            names = [f"cluster-{label}" for label in clusters_of(vectors[where], clusters)]
        for name, inside in groups(names):
            yield speaker, name, where[inside]


def _schema(table: pa.Table, aggregate: str, centroids: str, unit: bool) -> pa.Schema:
    length = {"unit_length": "true" if unit else "false"}
    vector = table.schema.field("embedding").type
    schema = pa.schema(
        [
            ("speaker", pa.string()),
            ("centroid", pa.string()),
            ("utterances", pa.int64()),
            ("duration_seconds", pa.float64()),
            ("spread", pa.float64()),
            pa.field("embedding", vector, metadata=length),
            ("rests_on", pa.list_(pa.string())),
            ("encoder", pa.string()),
            ("weights_sha256", pa.string()),
            ("license", pa.string()),
        ]
    )
    return schema.with_metadata({"aggregate": aggregate, "centroids": centroids, **length})
