"""Training and embedding from precomputed mels, those of `prepare` and PaddleSpeech's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import SMALL
from timbral import api
from timbral.audio.preprocessing import Preprocessing, load
from timbral.bulk.engines import Engine
from timbral.config.schema import TrainConfig
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.mel_crops import MelCrops
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.mels import PrecomputedMels, holds_mels
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.encoders.lstm import LstmEncoder
from timbral.encoders.tdnn import TdnnEncoder
from timbral.errors import ConfigError, DataError
from timbral.inference.embedder import Embedder


@pytest.fixture(scope="module")
def prepared(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mels") / "prepared"
    prepare(scan_corpus("folder", voices), folder, Preprocessing(), format="npy")
    return folder


@pytest.fixture(scope="module")
def paddlespeech(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mels as PaddleSpeech leaves them: columns first in memory, no table."""
    root = tmp_path_factory.mktemp("paddlespeech")
    for path in prepared.glob("*/*.npy"):
        (root / path.parent.name).mkdir(exist_ok=True)
        np.save(root / path.parent.name / path.name, np.asfortranarray(np.load(path)))
        shutil.copy(path.parent / "_sources.txt", root / path.parent.name)
    return root


def test_paddlespeech_mels_equal_prepared_ones(
    prepared: Path, paddlespeech: Path, store: Store
) -> None:
    mels, others = PrecomputedMels.open(prepared), PrecomputedMels.open(paddlespeech)
    assert holds_mels(prepared)
    assert holds_mels(paddlespeech)
    assert not holds_mels(store.folder)
    for name in ("speaker", "path", "frames"):
        assert mels.table[name].to_pylist() == others.table[name].to_pylist()
    assert others.preprocessing == Preprocessing(trim="webrtc", min_rms_dbfs=-30.0)
    for row in (0, 20, 47):
        np.testing.assert_array_equal(mels.mel(row), others.mel(row))
        np.testing.assert_array_equal(mels.mel(row, 7, 30), mels.mel(row)[7:37])
        assert 0 <= store.samples[row] - mels.samples[row] < 160


def test_crops_follow_from_seed_and_step(prepared: Path) -> None:
    mels = PrecomputedMels.open(prepared)
    config = DataConfig(speakers_per_batch=4, utterances_per_speaker=3, crop_seconds=1.6)
    rows = np.arange(len(mels))
    batch = MelCrops(mels, rows, config, seed=1).batch(5)
    again = next(MelCrops(mels, rows, config, seed=1).batches(5))
    assert batch.mels.shape == (12, 160, 40)
    assert batch.mels.equal(again.mels)
    assert batch.speakers.equal(again.speakers)
    assert not batch.mels.equal(MelCrops(mels, rows, config, 2).batch(5).mels)
    windows = np.lib.stride_tricks.sliding_window_view(mels.mel(0), (160, 40))[:, 0]
    long = DataConfig(speakers_per_batch=2, utterances_per_speaker=2, crop_seconds=60)
    whole = MelCrops(mels, rows, long, 0).batch(0).mels
    assert whole.shape == (4, 6000, 40)
    assert len(windows) == mels.frames[0] - 159


def test_training(
    paddlespeech: Path, tmp_path: Path, small_config: Callable[..., TrainConfig]
) -> None:
    done = api.train(
        small_config("lstm"), paddlespeech, tmp_path / "run", validation_speakers="2", device="cpu"
    )
    assert done.step == 6
    assert done.validation_eer is not None
    embedder = api.load_encoder(tmp_path / "run", device="cpu")
    assert embedder.preprocessing == PrecomputedMels.open(paddlespeech).preprocessing


def test_other_encoders_do_not_train_on_mels(
    prepared: Path, tmp_path: Path, small_config: Callable[..., TrainConfig]
) -> None:
    for name in ("tdnn", "campplus"):
        with pytest.raises(ConfigError, match=f"{name} does not take precomputed mels"):
            api.train(small_config(name), prepared, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="tdnn does not take"):
        Embedder(TdnnEncoder(SMALL["tdnn"])).encode_mels([])  # type: ignore[arg-type]


def test_vectors_from_mels_are_those_from_audio(prepared: Path) -> None:
    """Up to the zeros after the end, which only a window that hangs over it sees."""
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    mels = PrecomputedMels.open(prepared)
    rows = [0, 9, 30]
    waves = [load(mels.table["path"][row].as_py(), Preprocessing()) for row in rows]
    from_audio = embedder.encode_preprocessed(waves)
    from_mels = embedder.encode_mels([mels.mel(row) for row in rows])
    assert np.einsum("ne,ne->n", from_audio, from_mels).min() > 0.999


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_mels_are_embedded_as_a_corpus(
    prepared: Path, paddlespeech: Path, tmp_path: Path, workers: int
) -> None:
    """Prepared ones and PaddleSpeech's give one table; a mel that cannot be used is reported."""
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    broken = tmp_path / "prepared"
    shutil.copytree(paddlespeech, broken)
    bad = sorted(broken.glob("*/*.npy"))[:3]
    bad[0].write_bytes(b"no mel")
    np.save(bad[1], np.full((200, 40), np.nan, np.float32))
    np.save(bad[2], np.empty((0, 40), np.float32))
    engine = Engine(workers=workers)
    of_all = api.embed(embedder, prepared, tmp_path / "whole", engine=engine)
    of_broken = api.embed(embedder, broken, tmp_path / "partial", engine=engine)
    mels = PrecomputedMels.open(prepared)
    assert (of_all.num_utterances, of_all.num_failures) == (len(mels), 0)
    assert (of_broken.num_utterances, of_broken.num_failures) == (len(mels) - 3, 3)
    reasons = (tmp_path / "partial" / "failures.jsonl").read_text()
    for reason in ("cannot be read as a mel", "not finite", "no frames"):
        assert reason in reasons
    whole, partial = read_embeddings(tmp_path / "whole"), read_embeddings(tmp_path / "partial")
    expected = embedder.encode_mels([mels.mel(row) for row in range(len(mels))])
    np.testing.assert_allclose(vectors_of(whole), expected, atol=1e-5)
    np.testing.assert_allclose(vectors_of(partial), expected[3:], atol=1e-5)
    assert abs(whole["duration_seconds"][0].as_py() - mels.frames[0] / 100) < 1e-6
    assert whole["path"][5].as_py().endswith(".npy")


def test_other_encoders_do_not_embed_mels(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tdnn does not take"):
        api.embed(Embedder(TdnnEncoder(SMALL["tdnn"])), prepared, tmp_path / "x")  # type: ignore[arg-type]


def test_refused_mels_leave_the_output_untouched(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tdnn does not take"):
        api.embed(Embedder(TdnnEncoder(SMALL["tdnn"])), prepared, tmp_path / "x")  # type: ignore[arg-type]
    api.embed(Embedder(LstmEncoder(SMALL["lstm"])), prepared, tmp_path / "x")  # type: ignore[arg-type]


def test_vectors_beside_recordings_are_not_embedded_as_mels(voices: Path, tmp_path: Path) -> None:
    """As `embed --beside-audio --format npy` leaves a corpus; the same command again works."""
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    shutil.copytree(voices, tmp_path / "corpus")
    for _ in range(2):
        summary = api.embed(embedder, tmp_path / "corpus", tmp_path / "corpus", format="npy")
        assert summary.num_utterances == 48
    assert len(list((tmp_path / "corpus").glob("*/*.npy"))) == 48


def test_flac_store_is_embedded_itself(voices: Path, tmp_path: Path) -> None:
    prepare(scan_corpus("folder", voices), tmp_path / "flac", Preprocessing(), format="flac")
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    api.embed(embedder, tmp_path / "flac", tmp_path / "out")
    paths = read_embeddings(tmp_path / "out")["path"].to_pylist()
    assert all(path.startswith(str(tmp_path / "flac")) for path in paths)


def test_store_of_pcm_stands_for_its_recordings(store: Store, tmp_path: Path) -> None:
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    api.embed(embedder, store.folder, tmp_path / "x")
    table = read_embeddings(tmp_path / "x")
    for column in ("utterance", "speaker", "path"):
        assert table[column].to_pylist() == store.table[column].to_pylist()
    first = embedder.encode(table["path"][0].as_py())
    np.testing.assert_allclose(vectors_of(table)[0], first, atol=1e-5)


def test_other_arrays_are_no_mels(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "x.npy", np.zeros((200, 80), np.float32))
    with pytest.raises(DataError, match=r"float32 \(F, 40\), this is float32 \(200, 80\)"):
        PrecomputedMels.open(tmp_path)
    (tmp_path / "a" / "x.npy").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="cannot be read as a mel"):
        PrecomputedMels.open(tmp_path)
    (tmp_path / "a" / "x.npy").unlink()
    with pytest.raises(DataError, match="no precomputed mels"):
        PrecomputedMels.open(tmp_path)
