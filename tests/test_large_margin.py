"""Large-margin fine-tuning continues with encoder and classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import SMALL, sections
from timbral import api
from timbral.checkpoints.weights import read_tensors
from timbral.config.schema import TrainConfig
from timbral.data.augment.augment_config import AugmentConfig, SpeedConfig
from timbral.data.batches.data_config import DataConfig
from timbral.data.prepared.store import Store
from timbral.errors import CheckpointError, ConfigError, TrainingError
from timbral.losses.ge2e import GE2EConfig
from timbral.losses.margin import AamConfig


@pytest.fixture(scope="module")
def base(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with AAM-softmax and speed copies."""
    folder = tmp_path_factory.mktemp("runs") / "base"
    config = TrainConfig(
        encoder=SMALL["tdnn"],
        loss=AamConfig(),
        data=DataConfig(speakers_per_batch=4, utterances_per_speaker=3, crop_seconds=0.8),
        augment=AugmentConfig(speed=SpeedConfig((1.0, 0.9, 1.1), True)),
        **sections(steps=2, learning_rate=1e-3, validate_every=2, save_every=2),
    )
    api.train(config, store.folder, folder, validation_speakers="2", device="cpu")
    return folder


def large_margin(base: Path, **changes: object) -> TrainConfig:
    config = api.resolve(base).config
    schedule = replace(config.schedule, steps=1)
    optimizer = replace(config.optimizer, learning_rate=1e-12)
    loss = AamConfig(margin=0.5)
    data = replace(config.data, crop_seconds=1.2)
    changed = {"loss": loss, "augment": AugmentConfig(), "data": data, **changes}
    return replace(config, schedule=schedule, optimizer=optimizer, **changed)


def centers(run: Path) -> torch.Tensor:
    return read_tensors(api.resolve(run).weights_path)["loss.centers"]


def test_the_classifier_is_kept(base: Path, store: Store, tmp_path: Path) -> None:
    """Of the speakers and their speed copies, the recorded ones: the first third."""
    config, options = large_margin(base), {"validation_speakers": "2", "device": "cpu"}
    api.train(config, store.folder, tmp_path / "run", init=base, keep_classifier=True, **options)
    before, after = centers(base), centers(tmp_path / "run")
    assert len(before) == 3 * len(after)
    torch.testing.assert_close(after, before[: len(after)], atol=1e-6, rtol=0)
    api.train(config, store.folder, tmp_path / "new", init=base, **options)
    assert (centers(tmp_path / "new") - after).abs().max() > 1e-3
    with pytest.raises(TrainingError, match="with its loss"):
        api.train(config, store.folder, tmp_path / "run", init=base, **options)


def test_what_cannot_be_kept(base: Path, store: Store, tmp_path: Path) -> None:
    def train(config: TrainConfig, init: Path | None, validation: str = "2") -> None:
        api.train(
            config, store.folder, tmp_path / "run", init=init, keep_classifier=True,
            validation_speakers=validation, device="cpu",
        )  # fmt: skip

    with pytest.raises(ConfigError, match="`keep_classifier` needs `init`"):
        train(large_margin(base), None)
    with pytest.raises(ConfigError, match="trained on 6 speakers, but there are 5 now; only one"):
        train(large_margin(base), base, "3")
    api.load_encoder(base, device="cpu").save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="contains no loss"):
        train(large_margin(base), tmp_path / "saved")
    with pytest.raises(CheckpointError, match="similarity_weight is missing"):
        train(large_margin(base, loss=GE2EConfig()), base)
    assert not (tmp_path / "run").exists()
