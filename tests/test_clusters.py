"""Who is who in vectors without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

import timbral
from timbral.data.manifest_reader import read_manifest
from timbral.embeddings.clusters.average_linkage import (
    average_linkage,
    mean_cosines,
    nearest_clusters,
)
from timbral.embeddings.clusters.cluster import COLUMNS
from timbral.embeddings.table import utterance_schema, write_table
from timbral.errors import ConfigError, DataError


def draw(
    count: int, speakers: int, deviation: float, seed: int = 0, size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (N, E) around speakers, and whose each is."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, speakers, count)
    vectors = rng.normal(size=(speakers, size))[of] + deviation * rng.normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), of


def write_vectors(folder: Path, vectors: np.ndarray, speakers: list[str]) -> Path:
    folder.mkdir()
    count = len(vectors)
    names = [f"u{row:04d}" for row in range(count)]
    paths = [f"/corpus/{name}.wav" for name in names]
    columns = [names, speakers, [""] * count, paths, [2.0] * count, list(vectors)]
    schema = utterance_schema(vectors.shape[1])
    columns += [["e"] * count, ["0"] * count, [""] * count]
    table = pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)
    write_table(table, folder / "utterances.parquet")
    return folder


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = len(set(zip(one.tolist(), other.tolist(), strict=True)))
    return pairs == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("deviation", [0.4, 0.8, 1.5])
@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.7])
def test_clusters_are_those_of_average_linkage(deviation: float, threshold: float) -> None:
    vectors, _ = draw(400, 40, deviation)
    vectors[:20] = vectors[20]  # copies
    tree = linkage(vectors, "average", metric="cosine")
    labels = average_linkage(vectors, 0.1).labels(threshold)
    assert same_partition(labels, fcluster(tree, 1 - threshold, "distance"))
    sizes = np.bincount(labels)
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)


def test_blocks_do_not_change_what_is_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = draw(300, 20, 1.0)
    rows = np.arange(300)
    whole = nearest_clusters(vectors, vectors, rows)
    module = "timbral.embeddings.clusters.average_linkage"
    monkeypatch.setattr(f"{module}.BLOCK_ROWS", 7)
    monkeypatch.setattr(f"{module}.BLOCK_COLUMNS", 11)
    blocks = nearest_clusters(vectors, vectors, rows)
    assert np.array_equal(whole[0], blocks[0])
    np.testing.assert_allclose(whole[1], blocks[1], atol=1e-6)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    assert np.array_equal(whole[0], cosines.argmax(axis=1))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_vectors(count: int) -> None:
    vectors = np.eye(3, dtype=np.float32)[:count]
    assert average_linkage(vectors, 0.5).labels(0.5).tolist() == list(range(count))
    assert (
        average_linkage(np.repeat(vectors[:1], count, axis=0), 0.5).labels(0.5).tolist()
        == [0] * count
    )


def test_mean_cosines_leave_out_the_vector_itself() -> None:
    vectors, of = draw(60, 5, 0.5)
    of[0] = 5  # alone
    found = mean_cosines(vectors, of)
    assert np.isnan(found[0])
    others = np.flatnonzero((of == of[1]) & (np.arange(60) != 1))
    assert found[1] == pytest.approx(float((vectors[others] @ vectors[1]).mean()), abs=1e-5)


def corpus(tmp_path: Path, seed: int = 0) -> tuple[Path, np.ndarray]:
    """Twelve speakers of twenty recordings, and five recordings of nobody else."""
    rng = np.random.default_rng(seed)
    of = np.append(np.arange(240) % 12, np.arange(12, 17))
    vectors = rng.normal(size=(17, 128))[of] + 0.6 * rng.normal(size=(245, 128))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return write_vectors(tmp_path / "vectors", unit, ["unknown"] * 245), of


def test_labels_are_a_corpus_and_a_table_of_vectors(tmp_path: Path) -> None:
    folder, of = corpus(tmp_path)
    found = timbral.cluster(folder, tmp_path / "labels.parquet")
    assert (found.num_speakers, found.num_noise) == (12, 5)
    labels = pyarrow.parquet.read_table(tmp_path / "labels.parquet")
    assert tuple(labels.column_names) == COLUMNS
    assert labels.equals(found.labels)
    assert same_partition(np.unique(labels["speaker"].to_pylist(), return_inverse=True)[1], of)
    assert labels["speaker"].to_pylist()[-5:] == [f"noise-{row:04d}" for row in range(1, 6)]
    assert labels["cluster"].to_pylist()[-5:] == [-1] * 5
    assert set(labels["given_speaker"].to_pylist()) == {"unknown"}
    manifest = read_manifest(tmp_path / "labels.csv")
    assert len({row.speaker for row in manifest}) == 17
    assert timbral.speakers(tmp_path / "labels.parquet").num_rows == 17


def test_a_recording_between_two_speakers_has_the_lowest_confidence(tmp_path: Path) -> None:
    folder, of = corpus(tmp_path)
    table = pyarrow.parquet.read_table(folder / "utterances.parquet")
    vectors = np.stack(table["embedding"].to_numpy())
    vectors[0] = vectors[of == 0][1:].mean(axis=0) + vectors[of == 1].mean(axis=0)
    vectors[0] /= np.linalg.norm(vectors[0])
    other = write_vectors(tmp_path / "between", vectors, ["x"] * 245)
    labels = timbral.cluster(other).labels
    confidence = np.array(labels["confidence"])
    assert confidence.argmin() == 0
    assert confidence[0] < 0.75 < 0.95 < np.median(confidence)
    names = {labels["speaker"][0].as_py(), labels["other_speaker"][0].as_py()}
    assert names == {labels["speaker"][row].as_py() for row in (1, 12)}


def test_speakers_that_were_cut_are_listed_as_merges(tmp_path: Path) -> None:
    folder, of = corpus(tmp_path)
    cut = timbral.cluster(folder, tmp_path / "labels.parquet", threshold=0.79, min_utterances=4)
    assert cut.num_speakers < 60
    merges = pyarrow.csv.read_csv(tmp_path / "labels-merges.csv").to_pylist()
    owner = dict(zip(cut.labels["speaker"].to_pylist(), of.tolist(), strict=True))
    assert merges
    assert merges == sorted(merges, key=lambda row: -row["cosine"])
    assert all(owner[row["speaker"]] == owner[row["other_speaker"]] for row in merges)
    assert all(row["path"] != row["other_path"] for row in merges)


def test_bad_input(tmp_path: Path, ask: Callable[..., Any]) -> None:
    folder, _ = corpus(tmp_path)
    for options, reason in (
        ({"threshold": 1.5}, "`threshold` is a cosine"),
        ({"min_utterances": 0}, "`min_utterances` must be 1 or more"),
        ({"output": tmp_path / "labels.txt"}, "output must be a table"),
    ):
        with pytest.raises(ConfigError, match=reason):
            timbral.cluster(folder, **options)
    with pytest.raises(DataError, match="would be overwritten"):
        timbral.cluster(folder / "utterances.parquet", folder / "utterances.parquet")
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    said = ask("cluster", folder, "--output", tmp_path / "labels.parquet")
    assert said.code == 2
    assert "labels.csv: exists and is not a table of labels" in said.err
    assert not (tmp_path / "labels.parquet").exists()


def test_two_recordings_ask_for_a_threshold(tmp_path: Path, ask: Callable[..., Any]) -> None:
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
    folder = write_vectors(tmp_path / "vectors", vectors, ["nobody"] * 2)
    told = ask("cluster", folder, "--output", tmp_path / "labels.parquet")
    assert (told.code, len(told.err.splitlines())) == (2, 1)
    assert "two recordings are too few to cluster: their cosine is 0.600" in told.err
    assert "`timbral verify` decides about two recordings; or give --threshold" in told.err


def test_cosines_that_show_no_threshold_ask_for_one(
    tmp_path: Path, ask: Callable[..., Any]
) -> None:
    """Eight speakers whose cosines with each other lie between 0 and 0.6."""
    random = np.random.default_rng(0)
    sides = random.standard_normal((2, 1, 16)) + 0.7 * random.standard_normal((2, 4, 16))
    speakers = np.repeat(sides.reshape(8, 16), 4, axis=0)
    vectors = speakers + 0.4 * random.standard_normal(speakers.shape)
    vectors = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
    folder = write_vectors(tmp_path / "vectors", vectors, ["nobody"] * 32)
    labels = tmp_path / "labels.parquet"
    told = ask("cluster", folder, "--output", labels)
    assert told.code == 2
    assert "no threshold can be estimated from the cosines of these 32 recordings" in told.err
    assert "Give --threshold" in told.err
    assert not labels.exists()
    assert ask("cluster", folder, "--output", labels, "--threshold", "0.7").code == 0


def test_the_verb(tmp_path: Path, ask: Callable[..., Any]) -> None:
    folder, _ = corpus(tmp_path)
    said = ask("cluster", folder, "--output", tmp_path / "labels.parquet")
    assert said.code == 0
    assert "12 speakers in 245 recordings, 5 of them in no cluster (noise)" in said.out
    again = ask("cluster", folder, "--output", tmp_path / "labels.parquet", "--threshold", 0.95)
    assert "0 speakers in 245 recordings" in again.out
