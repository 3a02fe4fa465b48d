"""A recording that was replaced by another of equal size is another recording."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import SMALL
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.bulk.engines import Engine
from timbral.data.prepared import prepare as module
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.encoders.lstm import LstmEncoder
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder


def record(path: Path, seed: int) -> None:
    """Noise of 2 s, always the same number of bytes, never at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.random.default_rng(seed).standard_normal(32_000)
    soundfile.write(path, wave, 16_000)
    os.utime(path, ns=(seed * 10**9, seed * 10**9))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number in (1, 2):
        record(tmp_path / "corpus" / "anna" / f"{number}.wav", number)
    return tmp_path / "corpus"


def test_replaced_recordings_are_embedded_again(corpus: Path, tmp_path: Path) -> None:
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]

    def embed() -> tuple[float, np.ndarray]:
        summary = api.embed(embedder, corpus, tmp_path / "out")
        return summary.new_audio_seconds, vectors_of(read_embeddings(tmp_path / "out"))

    _, first = embed()
    os.utime(corpus / "anna" / "1.wav")  # its content is the same
    assert embed()[0] == 0
    record(corpus / "anna" / "1.wav", 3)
    seconds, second = embed()
    assert seconds > 0
    np.testing.assert_allclose(second[0], embedder.encode(corpus / "anna" / "1.wav"), atol=1e-5)
    assert not np.allclose(first[0], second[0])
    np.testing.assert_allclose(first[1], second[1], atol=1e-6)


def test_a_replaced_recording_of_equal_size_and_time_is_embedded_again(
    corpus: Path, tmp_path: Path
) -> None:
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    api.embed(embedder, corpus, tmp_path / "out")
    path = corpus / "anna" / "1.wav"
    before = path.stat()
    record(tmp_path / "other.wav", 3)
    os.utime(tmp_path / "other.wav", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(tmp_path / "other.wav", path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    summary = api.embed(embedder, corpus, tmp_path / "out")
    assert summary.new_audio_seconds > 0
    vectors = vectors_of(read_embeddings(tmp_path / "out"))
    np.testing.assert_allclose(vectors[0], embedder.encode(path), atol=1e-5)


def test_a_bad_line_ends_a_strict_job(corpus: Path, tmp_path: Path) -> None:
    (corpus / "wav.scp").write_text(f"u {corpus}/anna/1.wav\nv sox |\n")
    (corpus / "utt2spk").write_text("u a\nv a\n")
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="is a command"):
        api.embed(embedder, corpus, tmp_path / "out", engine=Engine(strict=True))
    assert api.embed(embedder, corpus, tmp_path / "out").num_failures == 1
    assert "wav.scp:2" in (tmp_path / "out" / "failures.jsonl").read_text()


@pytest.mark.parametrize("format", ["arrow", "npy", "flac"])
def test_finished_data_of_a_replaced_recording_is_refused(
    corpus: Path, tmp_path: Path, format: str
) -> None:
    def again() -> bool:
        return prepare(corpus, tmp_path / "data", Preprocessing(), format=format).reused

    assert not again()
    os.utime(corpus / "anna" / "1.wav")
    assert again()
    record(corpus / "anna" / "1.wav", 3)
    with pytest.raises(DataError, match=r"was prepared from another recording than .*/1\.wav"):
        again()


def test_a_shard_of_a_replaced_recording_is_prepared_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(module, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus, tmp_path / "data", Preprocessing(min_rms_dbfs=None))
    record(corpus / "anna" / "1.wav", 3)
    prepare(corpus, tmp_path / "data", Preprocessing(min_rms_dbfs=None))
    pcm, _ = soundfile.read(corpus / "anna" / "1.wav", dtype="int16")
    np.testing.assert_array_equal(Store.open(tmp_path / "data").pcm(0), pcm)
