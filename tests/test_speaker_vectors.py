"""Speaker vectors: each aggregate against its definition; groups of a speaker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from timbral.embeddings.aggregate import AGGREGATES, speaker_table
from timbral.embeddings.clustering import spherical_k_means
from timbral.embeddings.table import utterance_schema, vectors_of
from timbral.errors import ConfigError


@pytest.fixture
def table() -> pa.Table:
    """Two speakers, two sessions each; ten and three utterances; the last of anna is an outlier."""
    rng = np.random.default_rng(3)
    centers = np.eye(3, 8)
    vectors = [centers[0] + 0.1 * rng.normal(size=8) for _ in range(9)] + [-centers[2]]
    vectors += [centers[1] + 0.1 * rng.normal(size=8) for _ in range(3)]
    stacked = np.stack(vectors).astype(np.float32)
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    count = len(stacked)
    columns = [
        [f"u{row}" for row in range(count)],
        ["anna"] * 10 + ["ben"] * 3,
        [f"s{row % 2}" for row in range(count)],
        ["x.wav"] * count,
        [1.0 + row for row in range(count)],
        list(stacked),
        *([name] * count for name in ("lstm", "0", "MIT")),
    ]
    schema = utterance_schema(8)
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def test_each_aggregate_by_its_definition(table: pa.Table) -> None:
    vectors, seconds = vectors_of(table)[:10], table["duration_seconds"].to_numpy()[:10]
    weighted = (vectors * seconds[:, None]).sum(axis=0) / seconds.sum()
    nearest = int(np.argmax((vectors @ vectors.T).sum(axis=1)))
    expected = {
        "mean": vectors.mean(axis=0),
        "normalized-mean": vectors.mean(axis=0),
        "duration-weighted": weighted,
        "trimmed": vectors[:9].mean(axis=0),  # the outlier is the tenth that is left out
        "medoid": vectors[nearest],
    }
    assert set(expected) == set(AGGREGATES)
    for name, vector in expected.items():
        plain = speaker_table(table, name, unit_length=False)
        np.testing.assert_allclose(plain["embedding"][0].as_py(), vector, atol=1e-6)
        unit = speaker_table(table, name, unit_length=True)
        np.testing.assert_allclose(
            unit["embedding"][0].as_py(), vector / np.linalg.norm(vector), atol=1e-6
        )
    averaged = {name: speaker_table(table, name)["utterance_ids"][0].as_py() for name in expected}
    assert averaged["trimmed"] == [f"u{row}" for row in range(9)]
    assert averaged["medoid"] == [f"u{nearest}"]
    assert averaged["mean"] == [f"u{row}" for row in range(10)]


def test_counts_durations_distance_and_schema(table: pa.Table, tmp_path: Path) -> None:
    speakers = speaker_table(table)
    assert speakers["num_utterances"].to_pylist() == [10, 3]
    assert speakers["duration_seconds"].to_pylist() == [55.0, 36.0]
    own = vectors_of(table)[10:]
    distance = 1 - (own @ vectors_of(speakers)[1]).mean()
    assert speakers["mean_cosine_distance"][1].as_py() == pytest.approx(distance, abs=1e-6)
    pyarrow.parquet.write_table(speakers, tmp_path / "v.parquet")
    schema = pyarrow.parquet.read_schema(tmp_path / "v.parquet")
    assert schema.metadata[b"unit_length"] == b"true"
    assert schema.metadata[b"aggregate"] == b"normalized-mean"
    assert schema.metadata[b"group_by"] == b"speaker"
    assert schema.field("embedding").metadata[b"unit_length"] == b"true"
    assert speaker_table(table, "mean").schema.metadata[b"unit_length"] == b"false"


def test_groups_of_a_speaker(table: pa.Table) -> None:
    sessions = speaker_table(table, group_by="session")
    assert sessions["speaker"].to_pylist() == ["anna", "anna", "ben", "ben"]
    assert sessions["group"].to_pylist() == ["s0", "s1", "s0", "s1"]
    clusters = speaker_table(table, group_by="cluster", clusters=2)
    assert clusters["num_utterances"].to_pylist()[:2] == [9, 1], (
        "the outlier is a cluster of its own"
    )
    assert clusters["utterance_ids"][1].as_py() == ["u9"]
    labels = spherical_k_means(vectors_of(table), 3)
    assert labels.tolist() == [0] * 9 + [2] + [1] * 3


def test_unknown_names_are_errors(table: pa.Table) -> None:
    with pytest.raises(ConfigError, match="did you mean 'medoid'"):
        speaker_table(table, "mediod")
    with pytest.raises(ConfigError, match="did you mean 'cluster'"):
        speaker_table(table, group_by="clusters")
