"""Tables say the precision of their vectors, so that two are not mixed unnoticed."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import timbral
from timbral.embeddings.named_vectors import read_vectors
from timbral.embeddings.precision import precision_of, with_precision
from timbral.embeddings.table import read_embeddings, utterance_schema, write_table
from timbral.scoring.cohort import read_cohort


def write(path: Path, precision: str, seed: int) -> Path:
    """Four recordings of each of eight speakers, of the same encoder."""
    random = np.random.default_rng(seed)
    voices = random.normal(size=(8, 1, 16)) + 0.3 * random.normal(size=(8, 4, 16))
    rows = [
        {
            "utterance": f"{path.stem}-{speaker}-{number}", "speaker": f"{path.stem}-{speaker}",
            "session": "", "path": "", "duration_seconds": 3.0, "embedding": vector,
            "encoder": "e", "weights_sha256": "1" * 64, "license": "",
        }
        for speaker, vectors in enumerate(voices.astype(np.float32))
        for number, vector in enumerate(vectors)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, utterance_schema(16))
    write_table(with_precision(table, precision), path)
    return path


def test_embed_says_the_precision(run: Path, voices: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for speaker in sorted(voices.iterdir())[:2]:
        (corpus / speaker.name).symlink_to(speaker)
    timbral.embed(run, corpus, tmp_path / "out")
    for name in ("utterances", "speakers"):
        assert precision_of(pq.read_table(tmp_path / "out" / f"{name}.parquet")) == "fp32"
    assert precision_of(read_embeddings(tmp_path / "out")) == "fp32"
    table = timbral.speakers(tmp_path / "out", tmp_path / "medoids.parquet", "medoid")
    assert (
        precision_of(table) == precision_of(pq.read_table(tmp_path / "medoids.parquet")) == "fp32"
    )


@pytest.mark.parametrize("precisions", [("int8", "fp32"), ("fp32", "fp32"), ("", "int8")])
def test_two_precisions_are_told(tmp_path: Path, precisions: tuple[str, str]) -> None:
    """By `audit` and by the cohort of a score; what is not known is not told."""
    one, other = (
        write(tmp_path / f"{name}.parquet", precision, seed)
        for seed, (name, precision) in enumerate(zip(("one", "other"), precisions, strict=True))
    )
    vectors = read_vectors(one)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        timbral.audit(one, tmp_path / "found.parquet", other=other)
        read_cohort(other, vectors, np.arange(len(vectors.names)), [])
    messages = [str(each.message) for each in told if each.category is UserWarning]
    assert len(messages) == (2 if precisions == ("int8", "fp32") else 0)
    assert all("computed in fp32, those of" in text and "in int8" in text for text in messages)
