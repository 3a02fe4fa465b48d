"""Save an Embedder as a checkpoint folder with its model card."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import CALIBRATION_FILE, write_calibration
from timbral.checkpoints.card_evaluations import read_evaluations
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.model_card import (
    CARD_FILE,
    ModelCard,
    NetworkSizes,
    is_own_card,
    write_card,
)
from timbral.config.schema import TrainConfig
from timbral.errors import CheckpointError
from timbral.inference.exported_model import is_exported
from timbral.inference.onnx_runtime import OnnxRuntime
from timbral.inference.sharing import SharedEncoder
from timbral.io.outputs import CHECKPOINT, claim_folder

__all__ = ["save_with_card"]

EXPORTED_FILE = "encoder.onnx"


def save_with_card(
    encoder: SharedEncoder,
    folder: Path,
    title: str,
    license: str | None,
    evaluations: Iterable[str | Path],
    exported: str | Path | None,
    *,
    on_hub: bool = False,
) -> None:
    """Save as `SharedEncoder.save` and `push_to_hub` describe; arguments and errors as there."""
    known = encoder.license if license is None else license
    rows = read_evaluations(map(Path, evaluations), encoder.weights_sha256)
    path = folder / CARD_FILE
    kept = path.read_bytes() if path.exists() and not is_own_card(path) else None
    saved = _save(folder, encoder, known)
    if exported is not None:
        _check_same_encoder(Path(exported), saved.weights_sha256)
        shutil.copyfile(exported, folder / EXPORTED_FILE)
    card = ModelCard(
        title=title,
        load_from=title,
        network=NetworkSizes.of(encoder.network),
        preprocessing=encoder.preprocessing,
        weights_sha256=saved.weights_sha256,
        license=known,
        is_on_hub=on_hub,
        threshold=encoder.threshold,
        validation_eer=encoder.validation_eer,
        training_data=encoder.training_data,
        evaluations=rows,
        calibration=_calibration_in_words(encoder.calibration),
        exported="" if exported is None else EXPORTED_FILE,
        is_random=bool(encoder.uninitialized_prefixes),
    )
    if kept is not None:
        path.write_bytes(kept)
    write_card(folder, card)


def _save(folder: Path, encoder: SharedEncoder, license: str) -> Checkpoint:
    """Write a checkpoint folder without optimizer; DataError if it contains anything else.

    The calibration gets the hash of the weights in the folder, which may differ from that of the
    file that these weights were read from.
    """
    claim_folder(folder, CHECKPOINT)
    network = encoder.network
    figures = {"val_threshold": encoder.threshold, "best_score": encoder.validation_eer}
    checkpoint = Checkpoint(
        folder,
        0,
        TrainConfig(encoder=network.config),
        encoder.preprocessing,
        {key: value for key, value in figures.items() if value is not None},
        encoder.name,
        license,
        encoder.uninitialized_prefixes,
        training_data=encoder.training_data,
    )
    save_checkpoint(checkpoint, {"encoder": network})
    saved = Checkpoint.read(folder)
    if encoder.calibration is not None:
        own = replace(encoder.calibration, weights_sha256=saved.weights_sha256)
        write_calibration(folder / CALIBRATION_FILE, own)
    return saved


def _check_same_encoder(exported: Path, weights_sha256: str) -> None:
    """Raise CheckpointError for an exported model of other weights."""
    if not is_exported(exported):
        raise CheckpointError(f"{exported}: is not a file that ends in .onnx")
    exported_sha256 = OnnxRuntime(exported).model.weights_sha256
    if exported_sha256 != weights_sha256:
        raise CheckpointError(
            f"{exported}: was exported from weights {exported_sha256[:8]}, but the saved ones are "
            f"{weights_sha256[:8]}, so their vectors would count as those of another encoder; "
            "save the encoder to a folder, and export that folder"
        )


def _calibration_in_words(calibration: Calibration | None) -> str:
    if calibration is None:
        return ""
    fitted = calibration.fitted_on
    return (
        f"A calibration comes with it, so that `verify` gives a probability: fitted on "
        f"{fitted.num_speakers:,} speakers ({fitted.description}); Cllr {fitted.cllr:.3f} bits "
        f"({fitted.cllr_low:.3f} to {fitted.cllr_high:.3f}, the least possible of these scores "
        f"{fitted.min_cllr:.3f})."
    )
