"""An Embedder as a checkpoint folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
) -> None:
    """Write a checkpoint folder without optimizer; DataError when it holds anything else.

    The calibration names the weights in the folder, whose file may have another hash than the one
    that these weights were read from.
    """
    claim_folder(folder, CHECKPOINT)
    checkpoint = Checkpoint(
        folder,
        0,
        TrainConfig(encoder=network.config),
        preprocessing,
        {} if threshold is None else {"val_threshold": threshold},
        name,
        license,
        uninitialized_prefixes,
    )
    save_checkpoint(checkpoint, {"encoder": network})
    if calibration is not None:
        weights = Checkpoint.read(folder).weights_sha256
        write_calibration(folder / CALIBRATION_FILE, replace(calibration, weights_sha256=weights))
