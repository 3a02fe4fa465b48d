"""A vector that is not finite is its recording's failure, and a row's in tables of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from timbral import api
from timbral.audio.decode import Wave
from timbral.bulk.embed import embed_corpus
from timbral.bulk.engines import Engine
from timbral.data.corpora.scanning import scan_corpus
from timbral.embeddings.similarity import similarity
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.encoders.registry import ENCODERS
from timbral.errors import AudioError, DataError, InputError
from timbral.inference.embedder import Embedder
from timbral.inference.torch_runtime import TorchRuntime
from timbral.io.types import Vectors

LOUD = 12_345
"""samples of the recording whose vector is not finite"""


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> Embedder:
    """An encoder that gives NaN for waves of LOUD samples, as it may for absurd samples."""
    embed_waves = TorchRuntime.embed_waves

    def overflowing(runtime: TorchRuntime, waves: list[Wave], windows: Any) -> Vectors:
        vectors = embed_waves(runtime, waves, windows)
        vectors[[row for row, wave in enumerate(waves) if len(wave) == LOUD]] = np.nan
        return vectors

    monkeypatch.setattr(TorchRuntime, "embed_waves", overflowing)
    return Embedder(ENCODERS["tdnn"](ENCODERS["tdnn"].tiny_config))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    import soundfile

    random = np.random.default_rng(0)
    for speaker in ("ann", "bob"):
        for number in range(3):
            (tmp_path / "corpus" / speaker).mkdir(parents=True, exist_ok=True)
            count = LOUD if (speaker, number) == ("bob", 1) else 16_000
            wave = 0.1 * random.standard_normal(count)
            soundfile.write(tmp_path / "corpus" / speaker / f"{number}.wav", wave, 16_000)
    return tmp_path / "corpus"


def test_embed_lists_the_recording_and_embeds_the_others(
    embedder: Embedder, corpus: Path, tmp_path: Path
) -> None:
    summary = api.embed(embedder, corpus, tmp_path / "out")
    assert (summary.num_utterances, summary.num_failures) == (5, 1)
    [failure] = map(json.loads, (tmp_path / "out" / "failures.jsonl").read_text().splitlines())
    assert (failure["utterance"], failure["kind"]) == ("bob/1", "not-finite")
    assert "its vector is not finite" in failure["reason"]
    speakers = pa.parquet.read_table(tmp_path / "out" / "speakers.parquet")
    assert np.isfinite(vectors_of(speakers)).all()
    assert speakers["num_utterances"].to_pylist() == [3, 2]
    with pytest.raises(AudioError, match=r"bob/1\.wav: its vector is not finite"):
        embed_corpus(
            embedder,
            list(scan_corpus("folder", corpus)),
            corpus,
            tmp_path / "strict",
            engine=Engine(strict=True),
        )


def test_trials_of_the_recording_are_left_out(
    embedder: Embedder, corpus: Path, tmp_path: Path
) -> None:
    lines = "1 bob/0.wav bob/1.wav\n1 bob/0.wav bob/2.wav\n0 bob/0.wav ann/0.wav\n"
    (tmp_path / "t.txt").write_text(lines)
    result = api.evaluate(embedder, tmp_path / "t.txt", corpus, tmp_path / "out", skip_missing=True)
    assert (result.num_trials, result.num_missing, result.num_failures) == (2, 1, 1)
    assert "its vector is not finite" in (tmp_path / "out" / "failures.jsonl").read_text()


def test_encode_names_the_recording(embedder: Embedder, corpus: Path) -> None:
    wave = np.random.default_rng(0).standard_normal(LOUD).astype(np.float32) * 0.1
    with pytest.raises(AudioError, match=r"audio\[1\]: its vector is not finite"):
        embedder.encode([corpus / "bob" / "0.wav", wave])
    with pytest.raises(AudioError, match=r"1\.wav: its vector is not finite"):
        embedder.encode_speaker([corpus / "bob" / "1.wav"])


def test_similarity_refuses_them() -> None:
    vectors = np.eye(3, dtype=np.float32)
    vectors[1, 0] = np.inf
    with pytest.raises(InputError, match="second: vector 1 is not finite"):
        similarity(vectors[0], vectors)
    with pytest.raises(InputError, match="first: vector 0 is not finite"):
        similarity([float("nan"), 1.0], [1.0, 2.0])


def table(**columns: Any) -> pa.Table:
    vectors = np.eye(4, 3, dtype=np.float32)
    content = {
        "utterance": ["a/1", "a/2", "b/1", "b/2"],
        "speaker": ["a", "a", "b", "b"],
        "path": [f"{name}.wav" for name in ("a1", "a2", "b1", "b2")],
        "embedding": [list(map(float, vector)) for vector in vectors],
        **columns,
    }
    return pa.table({name: value for name, value in content.items() if value is not None})


NAN, FLOATS = float("nan"), [0.5, 0.25, 0.0]
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "nan": (
        {"embedding": [FLOATS, [NAN, 0.0, 1.0], FLOATS, [0.0, 0.0, float("inf")]]},
        r"embedding contains NaN, infinite or absurdly large numbers in row 2, 4; remove such rows",
    ),
    "absurd": ({"embedding": [[1e30, 0.0, 0.0]] * 4}, r"absurdly large .* in row 1, 2, 3 and 1 mo"),
    "sizes": (
        {"embedding": [FLOATS, FLOATS, [1.0], FLOATS]},
        "does not have 3 numbers like the first in row 3;",
    ),
    "missing": ({"embedding": [FLOATS, None, FLOATS, FLOATS]}, "embedding is missing in row 2;"),
    "no numbers": (
        {"embedding": [[], [], [], []]},
        "column embedding should contain|contain no numbers",
    ),
    "texts": (
        {"embedding": ["1", "2", "3", "4"]},
        "should contain lists of floats, but its type is string",
    ),
    "column": ({"speaker": None}, "it has no column speaker, only utterance, path, embedding"),
    "speaker": ({"speaker": ["a", None, "b", None]}, "speaker is missing in row 2, 4;"),
    "lists": ({"speaker": [["a"]] * 4}, r"column speaker cannot be read, because its type is list"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_rows_of_a_table_are_named(name: str, tmp_path: Path) -> None:
    columns, words = UNUSABLE[name]
    pa.parquet.write_table(table(**columns), tmp_path / "utterances.parquet")
    with pytest.raises(DataError, match=rf"utterances\.parquet: .*(?:{words})"):
        read_embeddings(tmp_path)


def test_tables_of_other_tools_are_read(tmp_path: Path) -> None:
    """Lists of any float type, ids that are numbers, no columns but the needed ones."""
    for number, value_type in enumerate((pa.float16(), pa.float32(), pa.float64())):
        vectors = pa.array(table()["embedding"].to_pylist(), pa.large_list(value_type))
        written = table(embedding=vectors, speaker=pa.array([1, 1, 2, 2]), extra=["x"] * 4)
        pa.parquet.write_table(written, tmp_path / f"{number}.parquet")
        read = read_embeddings(tmp_path / f"{number}.parquet")
        assert read["speaker"].to_pylist() == ["1", "1", "2", "2"]
        np.testing.assert_array_equal(vectors_of(read), np.eye(4, 3, dtype=np.float32))
    speakers = api.speakers(tmp_path / "0.parquet", aggregate="duration-weighted")
    assert np.isfinite(vectors_of(speakers)).all()
    assert speakers["duration_seconds"].to_pylist() == [0.0, 0.0]
