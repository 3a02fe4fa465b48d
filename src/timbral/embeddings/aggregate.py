"""Average the vectors of each speaker, or of its sessions or clusters, in one of five ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from timbral.embeddings.clustering import spherical_k_means
from timbral.embeddings.precision import precision_of, with_precision
from timbral.embeddings.table import group_rows, speaker_schema, vectors_of
from timbral.embeddings.vectors import medoid_row, unit_length
from timbral.errors import ConfigError, did_you_mean
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["AGGREGATES", "GROUPINGS", "speaker_table"]

TRIMMED_FRACTION = 0.1
"""fraction of a speaker's utterances that `trimmed` leaves out, rounded up; none of fewer than
four"""


def mean(vectors: Vectors, seconds: Floats) -> tuple[Vectors, Ints]:
    """The plain mean, like ddvc's."""
    return vectors.mean(axis=0), np.arange(len(vectors))


def normalized_mean(vectors: Vectors, seconds: Floats) -> tuple[Vectors, Ints]:
    """The mean of the vectors at unit length."""
    return unit_length(vectors).mean(axis=0), np.arange(len(vectors))


def duration_weighted(vectors: Vectors, seconds: Floats) -> tuple[Vectors, Ints]:
    """The mean of the vectors at unit length, weighted by duration."""
    weights = seconds / seconds.sum() if seconds.sum() > 0 else np.full(len(vectors), 1.0)
    return np.average(unit_length(vectors), axis=0, weights=weights), np.arange(len(vectors))


def trimmed(vectors: Vectors, seconds: Floats) -> tuple[Vectors, Ints]:
    """The mean without the 10 % that are farthest from the medoid."""
    count = len(vectors)
    num_dropped = math.ceil(TRIMMED_FRACTION * count) if count >= 4 else 0
    unit = unit_length(vectors)
    cosines = unit @ unit[medoid_row(unit)]
    kept = np.sort(np.argsort(-cosines, kind="stable")[: count - num_dropped])
    return unit[kept].mean(axis=0), kept


def medoid(vectors: Vectors, seconds: Floats) -> tuple[Vectors, Ints]:
    """The vector of the utterance with the highest mean cosine to all others."""
    row = medoid_row(unit_length(vectors))
    return vectors[row], np.array([row])


Aggregate = Callable[[Vectors, Floats], tuple[Vectors, Ints]]
"""from vectors (N, E) and durations in seconds (N,) to a vector (E,) and the rows averaged in it"""

AGGREGATES: dict[str, Aggregate] = {
    "mean": mean,
    "normalized-mean": normalized_mean,
    "duration-weighted": duration_weighted,
    "trimmed": trimmed,
    "medoid": medoid,
}

WEIGHTS_COLUMNS = ("encoder", "weights_sha256", "license")
GROUPINGS = ("speaker", "session", "cluster")
"""one row for each speaker, for each session of a speaker, or for each cluster of a speaker"""


def speaker_table(
    table: pa.Table,
    aggregate: str = "normalized-mean",
    *,
    group_by: str = "speaker",
    clusters: int = 2,
    unit_length: bool | None = None,
) -> pa.Table:
    """A table with one row per speaker, session or cluster, from a table of utterances.

    Args:
        table: the utterances
        aggregate: a name in `AGGREGATES`
        group_by: a name in `GROUPINGS`
        clusters: number of clusters per speaker, with `group_by` "cluster"
        unit_length: whether vectors have unit length; None: for all aggregates but ``mean``

    For the columns, see `timbral.embeddings.table`. Raises ConfigError for unknown names and for
    `clusters` below 1.
    """
    if aggregate not in AGGREGATES:
        raise ConfigError(f"unknown aggregate {aggregate!r}{did_you_mean(aggregate, AGGREGATES)}")
    if group_by not in GROUPINGS:
        raise ConfigError(f"unknown group_by {group_by!r}{did_you_mean(group_by, GROUPINGS)}")
    if clusters < 1:
        raise ConfigError(f"clusters must be 1 or more, got {clusters}")
    is_unit = aggregate != "mean" if unit_length is None else unit_length
    vectors, seconds = vectors_of(table), table["duration_seconds"].to_numpy()
    utterances = table["utterance"].to_pylist()
    groups: list[dict[str, Any]] = []
    for speaker, group, rows in _groups(table, vectors, group_by, clusters):
        vector, averaged = AGGREGATES[aggregate](vectors[rows], seconds[rows])
        direction = vector / max(float(np.linalg.norm(vector)), 1e-12)
        first = int(rows[0])
        groups.append(
            {
                "speaker": speaker,
                "group": group,
                "num_utterances": len(rows),
                "duration_seconds": float(seconds[rows].sum()),
                "mean_cosine_distance": _mean_cosine_distance(vectors[rows], direction),
                "embedding": np.asarray(direction if is_unit else vector, dtype=np.float32),
                "utterance_ids": [utterances[row] for row in rows[averaged]],
                **{name: table[name][first].as_py() for name in WEIGHTS_COLUMNS},
            }
        )
    schema = speaker_schema(
        table.schema.field("embedding").type,
        aggregate=aggregate,
        group_by=group_by,
        unit_length=is_unit,
    )
    return with_precision(pa.Table.from_pylist(groups, schema), precision_of(table))


def _groups(
    table: pa.Table, vectors: Vectors, group_by: str, clusters: int
) -> Iterator[tuple[str, str, Ints]]:
    """Speaker, name of the group ("" for the whole speaker), and rows of each group."""
    sessions = np.asarray(table["session"].to_pylist()) if group_by == "session" else None
    for speaker, rows in group_rows(table["speaker"].to_pylist()):
        if group_by == "speaker":
            yield speaker, "", rows
            continue
        if sessions is not None:
            names = sessions[rows].tolist()
        else:
            names = [f"cluster-{label}" for label in spherical_k_means(vectors[rows], clusters)]
        for name, inside in group_rows(names):
            yield speaker, name, rows[inside]


def _mean_cosine_distance(vectors: Vectors, direction: Vectors) -> float:
    return float(1.0 - (unit_length(vectors) @ direction).mean())
