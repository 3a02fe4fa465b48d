"""An Embedder as a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from timbral.audio.preprocessing import Preprocessing
from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import CALIBRATION_FILE, write_calibration
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.config.schema import TrainConfig
from timbral.encoders.base import SpeakerEncoder
from timbral.io.outputs import CHECKPOINT, claim_folder

__all__ = ["save_encoder"]


def save_encoder(
    folder: Path,
    network: SpeakerEncoder,
    preprocessing: Preprocessing,
    *,
    threshold: float | None,
    name: str,
    license: str,
    uninitialized_prefixes: tuple[str, ...],
    calibration: Calibration | None,
    validation_eer: float | None,
    training_data: Mapping[str, Any],
) -> Checkpoint:
    """Write a checkpoint folder without optimizer; DataError when it holds anything else.

    The calibration names the weights in the folder, whose file may have another hash than the one
    that these weights were read from.
    """
    claim_folder(folder, CHECKPOINT)
    figures = {"val_threshold": threshold, "best_score": validation_eer}
    checkpoint = Checkpoint(
        folder,
        0,
        TrainConfig(encoder=network.config),
        preprocessing,
        {key: value for key, value in figures.items() if value is not None},
        name,
        license,
        uninitialized_prefixes,
        training_data=training_data,
    )
    save_checkpoint(checkpoint, {"encoder": network})
    saved = Checkpoint.read(folder)
    if calibration is not None:
        own = replace(calibration, weights_sha256=saved.weights_sha256)
        write_calibration(folder / CALIBRATION_FILE, own)
    return saved
