"""Batches as the config asks for them: lengths of crops, sessions, shares of corpora."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from timbral.audio.preprocessing import Preprocessing
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, to_mapping
from timbral.data.batches.config import DataConfig
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.corpora.registry import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
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


def batches(store: Store, config: DataConfig) -> WaveCrops:
    return WaveCrops(store, np.arange(len(store)), config, 3)


def test_crops_of_a_range_have_five_lengths(two_corpora: Store) -> None:
    found = batches(two_corpora, replace(BASE, max_crop_seconds=0.9))
    lengths = {found.batch(step).waves.shape[1] for step in range(40)}
    assert lengths == {8000, 9600, 11_200, 12_800, 14_400}
    assert batches(two_corpora, BASE).batch(0).waves.shape[1] == 8000


@pytest.mark.parametrize("sessions", ["distinct", "any"])
def test_sessions(two_corpora: Store, sessions: str) -> None:
    found = batches(two_corpora, replace(BASE, sessions=sessions))
    names = two_corpora.table["session"].to_numpy()
    distinct = []
    for step in range(20):
        batch = found.batch(step)
        rows = batch.rows.numpy().reshape(4, 3)
        assert len(set(batch.rows.tolist())) == 12
        distinct += [len(set(names[own])) == 3 for own in rows]
    assert all(distinct) if sessions == "distinct" else not all(distinct)


def test_corpora_have_their_weight(two_corpora: Store) -> None:
    found = batches(two_corpora, replace(BASE, corpus_weights={"few": 1.0, "many": 1.0}))
    names = two_corpora.table["corpus"].to_numpy()
    for step in range(10):
        assert sorted(names[found.batch(step).rows.numpy()]).count("few") == 6


@pytest.mark.parametrize(("weights", "of_few"), [({}, 13), ({"few": 3.0, "many": 1.0}, 30)])
def test_batches_of_one_corpus(two_corpora: Store, weights: dict[str, float], of_few: int) -> None:
    config = replace(BASE, speakers_per_batch=2, corpus_weights=weights, one_corpus_per_batch=True)
    found = batches(two_corpora, config)
    names = two_corpora.table["corpus"].to_numpy()
    corpora = [set(names[found.batch(step).rows.numpy()]) for step in range(40)]
    assert all(len(corpus) == 1 for corpus in corpora)
    assert corpora.count({"few"}) == of_few


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"corpus_weights": {"few": 1}}, "must name the corpora of the data, few, many"),
        (
            {"corpus_weights": {"few": 3, "many": 1}},
            "takes 3 speakers of few, but there are only 2",
        ),
        (
            {"one_corpus_per_batch": True},
            "4 speakers of few, but there are only 2 .*, or switch data.one_corpus_per_batch off",
        ),
        ({"corpus_weights": {"few": -1}}, "must not be negative"),
        ({"corpus_weights": {"few": "x"}}, "corpus_weights: few: should be float"),
        ({"sessions": "distnct"}, "did you mean 'distinct'"),
        ({"max_crop_seconds": 0.4}, "max_crop_seconds must be in"),
    ],
)
def test_mistakes(two_corpora: Store, data: dict[str, object], words: str) -> None:
    content = to_mapping(TrainConfig(data=BASE))
    content["data"] |= data
    with pytest.raises(ConfigError, match=words):
        batches(two_corpora, from_mapping(TrainConfig, content, "c").data)
