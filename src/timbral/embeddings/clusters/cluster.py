"""Group unlabeled recordings by speaker: clusters of their vectors, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.embeddings.clusters.average_linkage import average_linkage
from timbral.embeddings.clusters.confidence import ClusterFit
from timbral.embeddings.clusters.merges import MERGES, merge_table
from timbral.embeddings.clusters.threshold import best_threshold, least_threshold
from timbral.embeddings.table import read_embeddings, utterance_schema, vectors_of, write_table
from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError
from timbral.io.outputs import FileKind, claim_file
from timbral.io.types import Ints, Progress, Vectors

__all__ = ["ClusterSummary", "cluster"]

NOISE = -1
ADDED = pa.schema(
    [
        ("given_speaker", pa.string()),
        ("cluster", pa.int64()),
        ("confidence", pa.float64()),
        ("cosine", pa.float64()),
        ("other_speaker", pa.string()),
        ("other_cosine", pa.float64()),
    ]
)
LEFT_OUT_OF_CSV = ("embedding", "encoder", "weights_sha256", "license")
COLUMNS = (*utterance_schema(1).names, *ADDED.names)
LABELS = FileKind("a table of labels that `cluster` wrote", frozenset(COLUMNS))
LABELS_CSV = FileKind(
    "a table of labels that `cluster` wrote", frozenset(set(COLUMNS) - set(LEFT_OUT_OF_CSV))
)


@dataclass(frozen=True)
class ClusterSummary:
    """The results of `cluster`."""

    labels: pa.Table
    """one row per recording; for the columns see `cluster`"""
    merges: pa.Table
    """pairs of speakers that may be one, the most similar first"""
    threshold: float
    """mean cosine from which on two clusters were merged"""
    num_speakers: int
    num_noise: int
    """number of recordings that belong to no speaker"""


def cluster(
    embeddings: str | Path,
    output: str | Path | None = None,
    *,
    threshold: float | None = None,
    min_utterances: int = 2,
    progress: Progress = lambda done, total: None,
) -> ClusterSummary:
    """Group the recordings of an embedded corpus by speaker; existing labels are not used.

    Exact average linkage on cosines, with memory linear in the number of recordings.

    Args:
        embeddings: a folder or table from `embed`
        output: a Parquet file for the labels. A CSV without vectors is also written, and a CSV of
            pairs of clusters that may be one speaker (``-merges.csv``). None: none
        threshold: mean cosine from which on two clusters are merged; None: estimated from the
            vectors
        min_utterances: recordings that a speaker needs; smaller clusters are noise
        progress: called with the number of recordings done, and in all

    Returns:
        the tables. `labels` has the columns of utterances.parquet, in its order, so it is a corpus,
        a table of vectors and a manifest. `speaker` is ``cluster-0001`` and so on, from the
        largest; each noise recording has its own label, ``noise-0001``, because two of them need
        not be one speaker. Further columns: given_speaker (the label before), cluster (number, -1
        for noise), confidence (probability that the label is right), cosine (mean cosine to the
        other recordings of its speaker), other_speaker and other_cosine (the nearest other
        cluster).

    Raises ConfigError for impossible options, DataError for another kind of folder or an output
    that must not be overwritten.
    """
    if threshold is not None and not -1.0 <= threshold <= 1.0:
        raise ConfigError(f"`threshold` is a cosine and must be in [-1, 1], got {threshold}")
    if min_utterances < 1:
        raise ConfigError(f"`min_utterances` must be 1 or more, got {min_utterances}")
    targets = _targets(Path(output), embeddings) if output is not None else None
    table = read_embeddings(embeddings)
    vectors = unit_length(vectors_of(table))
    least = least_threshold(vectors) if threshold is None else threshold
    tree = average_linkage(vectors, least, progress)
    cut = best_threshold(vectors, tree, least) if threshold is None else threshold
    labels, merges = _tables(table, vectors, tree.labels(cut), cut, min_utterances)
    if targets is not None:
        write_table(merges, targets[2])
        write_table(labels.drop_columns(list(LEFT_OUT_OF_CSV)), targets[1])
        write_table(labels, targets[0])
    numbers = labels["cluster"].to_numpy()
    return ClusterSummary(
        labels, merges, cut, int(numbers.max()) + 1, int((numbers == NOISE).sum())
    )


def _targets(output: Path, embeddings: str | Path) -> tuple[Path, Path, Path]:
    """Claim the output files: the labels, their CSV, the merges."""
    if output.suffix.lower() != ".parquet":
        raise ConfigError(f"output must be a table such as labels.parquet, got {output}")
    text, merges = output.with_suffix(".csv"), output.with_name(f"{output.stem}-merges.csv")
    claim_file(output, LABELS, [embeddings])
    claim_file(text, LABELS_CSV, [embeddings])
    claim_file(merges, MERGES, [embeddings])
    return output, text, merges


def _tables(
    table: pa.Table, vectors: Vectors, clusters: Ints, cut: float, min_utterances: int
) -> tuple[pa.Table, pa.Table]:
    """The labels, and pairs of speakers that may be one."""
    is_speaker = np.bincount(clusters) >= min_utterances
    names = _names(is_speaker)
    fit = ClusterFit.of(vectors, clusters, cut)
    known = fit.other >= 0
    added = {
        "given_speaker": table["speaker"],
        "cluster": np.where(is_speaker[clusters], clusters, NOISE),
        "confidence": fit.confidence,
        "cosine": pa.array(fit.cosine, pa.float64(), from_pandas=True),
        "other_speaker": pa.array(names[fit.other], pa.string(), mask=~known),
        "other_cosine": pa.array(fit.other_cosine, pa.float64(), mask=~known),
    }
    labels = table.set_column(1, "speaker", pa.array(names[clusters], pa.string()))
    for field in ADDED:
        labels = labels.append_column(field, pa.array(added[field.name], field.type))
    return labels, merge_table(vectors, clusters, is_speaker, cut, names, table)


def _names(is_speaker: NDArray[np.bool_]) -> NDArray[np.object_]:
    """The name of each cluster (M,), as a speaker or as noise."""
    digits = max(4, len(str(len(is_speaker))))
    speakers, noise = np.cumsum(is_speaker), np.cumsum(~is_speaker)
    return np.array(
        [
            f"cluster-{speakers[row]:0{digits}}" if own else f"noise-{noise[row]:0{digits}}"
            for row, own in enumerate(is_speaker)
        ],
        dtype=object,
    )
