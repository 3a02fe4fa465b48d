"""Find the calibration of an encoder: in its checkpoint folder, or shipped with timbral."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import CALIBRATION_FILE, read_calibration
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.download import downloaded_folder
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.resolve import resolve
from timbral.errors import DataError

__all__ = ["calibration_of", "known_calibration"]

SHIPPED = Path(__file__).parent / "published"


def calibration_of(encoder: str | Path) -> Calibration:
    """The calibration of an encoder, which is a name, a run, or a checkpoint folder.

    Raises the errors of `resolve`, and DataError if the encoder has no calibration.
    """
    found = known_calibration(resolve(encoder))
    if found is None:
        raise DataError(
            f"{encoder}: has no calibration; `timbral calibrate` fits one from an evaluation"
        )
    return found


def known_calibration(checkpoint: Checkpoint) -> Calibration | None:
    """The calibration of a checkpoint's weights; None if it has none.

    Published weights are downloaded from a pinned source, so their name identifies them. The hash
    of their converted file may differ with the version of safetensors. Raises DataError for a
    damaged file.
    """
    beside = checkpoint.folder / CALIBRATION_FILE
    if beside.is_file():
        calibration = read_calibration(beside)
        is_ours = calibration.weights_sha256 == checkpoint.weights_sha256
        return calibration if is_ours else None
    shipped = SHIPPED / f"{checkpoint.name}.json"
    if (
        checkpoint.name not in PUBLISHED
        or downloaded_folder(checkpoint.name) != checkpoint.folder
        or not shipped.is_file()
    ):
        return None
    return replace(read_calibration(shipped), weights_sha256=checkpoint.weights_sha256)
