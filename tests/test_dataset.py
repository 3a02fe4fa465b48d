"""Batches as the config asks for them: lengths of crops, sessions, weights of corpora."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from timbral.audio.preprocessing import Preprocessing
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, to_mapping
from timbral.data.augment.augment_config import AugmentConfig, GainConfig
from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import MelBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.errors import ConfigError

BASE = DataConfig(4, 3, 0.5)


@pytest.fixture(scope="module")
def two_corpora(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six speakers, the first two of another corpus; four sessions of two utterances each."""
    root = tmp_path_factory.mktemp("corpora")
    random = np.random.default_rng(0)
    for speaker in "abcdef":
        for session in "1234":
            folder = root / "audio" / speaker / session
            folder.mkdir(parents=True)
            for name in ("x", "y"):
                wave = 0.1 * random.standard_normal(20_000)
                soundfile.write(folder / f"{name}.wav", wave, 16_000)
    rows = scan_corpus("folder", root / "audio")
    rows = [replace(row, corpus="few" if row.speaker in "ab" else "many") for row in rows]
    prepare(rows, root / "data", Preprocessing())
    return Store.open(root / "data")


def wave_crops(store: Store, config: DataConfig) -> WaveCrops:
    return WaveCrops(store, np.arange(len(store)), config, 3)


def test_crops_of_a_range_have_five_lengths(two_corpora: Store) -> None:
    crops = wave_crops(two_corpora, replace(BASE, max_crop_seconds=0.9))
    lengths = {crops.batch(step).waves.shape[1] for step in range(40)}
    assert lengths == {8000, 9600, 11_200, 12_800, 14_400}
    assert wave_crops(two_corpora, BASE).batch(0).waves.shape[1] == 8000


@pytest.mark.parametrize("sessions", ["distinct", "any"])
def test_sessions(two_corpora: Store, sessions: str) -> None:
    crops = wave_crops(two_corpora, replace(BASE, sessions=sessions))
    names = two_corpora.table["session"].to_numpy()
    distinct = []
    for step in range(20):
        batch = crops.batch(step)
        rows = batch.rows.numpy().reshape(4, 3)
        assert len(set(batch.rows.tolist())) == 12
        distinct += [len(set(names[own])) == 3 for own in rows]
    assert all(distinct) if sessions == "distinct" else not all(distinct)


def test_corpora_are_drawn_by_weight(two_corpora: Store) -> None:
    crops = wave_crops(two_corpora, replace(BASE, corpus_weights={"few": 1.0, "many": 1.0}))
    names = two_corpora.table["corpus"].to_numpy()
    for step in range(10):
        assert sorted(names[crops.batch(step).rows.numpy()]).count("few") == 6


@pytest.mark.parametrize(("weights", "of_few"), [({}, 13), ({"few": 3.0, "many": 1.0}, 30)])
def test_batches_of_one_corpus(two_corpora: Store, weights: dict[str, float], of_few: int) -> None:
    config = replace(BASE, speakers_per_batch=2, corpus_weights=weights, one_corpus_per_batch=True)
    crops = wave_crops(two_corpora, config)
    names = two_corpora.table["corpus"].to_numpy()
    corpora = [set(names[crops.batch(step).rows.numpy()]) for step in range(40)]
    assert all(len(corpus) == 1 for corpus in corpora)
    assert corpora.count({"few"}) == of_few


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"corpus_weights": {"few": 1}}, "must name the corpora of the data, few, many"),
        (
            {"corpus_weights": {"few": 3, "many": 1}},
            "needs 3 speakers of few, but there are only 2",
        ),
        (
            {"one_corpus_per_batch": True},
            "4 speakers of few, but there are only 2 .*, or switch data.one_corpus_per_batch off",
        ),
        ({"corpus_weights": {"few": -1}}, "must not be negative"),
        ({"corpus_weights": {"few": "x"}}, "corpus_weights: few: should be float"),
        ({"sessions": "distnct"}, "did you mean 'distinct'"),
        ({"max_crop_seconds": 0.4}, "max_crop_seconds must be in"),
        ({"crop_seconds": 0.1}, r"data.crop_seconds must be in \[0.2, 60\]: 0.1"),
        ({"speakers_per_batch": 1}, "data.speakers_per_batch must be at least 2: 1"),
    ],
)
def test_mistakes_are_explained(two_corpora: Store, data: dict[str, object], words: str) -> None:
    content = to_mapping(TrainConfig(data=BASE))
    content["data"] |= data
    with pytest.raises(ConfigError, match=words):
        wave_crops(two_corpora, from_mapping(TrainConfig, content, "c").data)


def test_one_speaker_is_too_few_whatever_the_batch(two_corpora: Store) -> None:
    one = np.flatnonzero(two_corpora.speaker_codes == 0)
    with pytest.raises(ConfigError, match="the data has only 1 speaker to train on"):
        WaveCrops(two_corpora, one, BASE, 3)


def test_rows_and_steps_of_batches(two_corpora: Store) -> None:
    """A process's rows are cut from the same global batch, and iteration begins at any step."""
    crops = wave_crops(two_corpora, BASE)
    whole = crops.batch(7)
    some = next(crops.batches(7, slice(3, 8)))
    assert len(some) == 5
    for field in ("waves", "lengths", "speakers", "rows"):
        assert torch.equal(getattr(some, field), getattr(whole, field)[3:8])


def test_micro_batches_are_cut_after_augmentation(two_corpora: Store, tmp_path: Path) -> None:
    augmenter = Augmenter(AugmentConfig(gain=GainConfig(1.0)), 3, tmp_path)
    batch = WaveCrops(two_corpora, np.arange(len(two_corpora)), BASE, 3, augmenter).batch(0)
    with pytest.raises(AssertionError, match="augmented"):
        batch.split(2)
    batch = batch.augmented().to(torch.device("cpu"))
    micro_batches = batch.split(5)
    assert [len(each) for each in micro_batches] == [3, 3, 2, 2, 2]
    assert torch.equal(torch.cat([each.waves for each in micro_batches]), batch.waves)


def test_a_mel_batch_takes_the_place_of_an_encoders_features() -> None:
    batch = MelBatch(
        mels=torch.rand(4, 10, 40),
        frame_lengths=torch.full((4,), 10),
        speakers=torch.arange(4),
        rows=torch.arange(4),
    )
    features, frame_lengths = batch.features(LstmEncoder(LstmConfig()))
    assert features is batch.mels
    assert frame_lengths is batch.frame_lengths
    assert [len(each) for each in batch.augmented().split(3)] == [2, 1, 1]


def test_a_config_imports_no_store() -> None:
    code = (
        "import sys, timbral.config.yaml; "
        "print([name for name in sys.modules if name.split('.')[0] == 'pyarrow' "
        "or name.startswith(('timbral.data.prepared', 'timbral.data.batches.sampler'))])"
    )
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout == "[]\n"
