"""The verb push."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, Encoder, RunningOptions, load_embedder, option
from timbral.cli.early_checks import check_files, check_folders

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["run"]


def run(
    encoder: Encoder,
    repository: Annotated[Positional[str], option("USER/REPO", "on the Hugging Face Hub")],
    *,
    license: Annotated[
        str | None, option("LICENSE", "license of the weights, such as apache-2.0 or cc-by-4.0")
    ] = None,
    evaluations: Annotated[
        tuple[Path, ...],
        option("FOLDER ...", "from `timbral evaluate`; default: those in the run folder"),
    ] = (),
    calibration: Annotated[
        Path | None,
        option("FILE", "from `timbral calibrate`, to upload with the weights"),
    ] = None,
    onnx: Annotated[bool, option(None, "also upload an exported ONNX model")] = False,
    card: Annotated[
        Path | None, option("README.md", "your own model card, instead of the generated one")
    ] = None,
    private: Annotated[bool, option(None, "make a new repository private")] = False,
    revision: Annotated[str | None, option("BRANCH", "branch; created if needed")] = None,
) -> int:
    """Upload an encoder with its model card to the Hub.

    example: timbral push runs/mine me/my-encoder --license cc-by-4.0
    """
    from timbral.checkpoints.hub_names import check_repository

    check_repository(repository)
    check_folders(*evaluations)
    check_files(calibration, card)
    embedder = load_embedder(encoder, RunningOptions(device="cpu"))
    from timbral.checkpoints.run_card import EVALUATIONS

    _set_calibration(embedder, calibration)
    card = card or _own_card(Path(encoder))
    found = evaluations or tuple(sorted((Path(encoder) / EVALUATIONS).glob("*/")))
    with tempfile.TemporaryDirectory(prefix="timbral-push-") as temporary:
        pushed = embedder.push_to_hub(
            repository,
            private=private,
            license=license,
            evaluations=found,
            exported=_export(embedder, Path(temporary)) if onnx else None,
            card=card,
            revision=revision,
        )
    if not (license or embedder.license) and card is None:
        print("note: no license was stated; give one with --license", file=sys.stderr)
    print(pushed)
    return OK


def _set_calibration(embedder: Embedder, calibration: Path | None) -> None:
    """Give the encoder this calibration; raises DataError for one of another encoder."""
    from timbral.calibration.calibration_file import open_calibration

    if calibration is not None:
        embedder.calibration = open_calibration(
            calibration, embedder.weights_identity(), embedder.embedding_identity()
        )


def _own_card(run: Path) -> Path | None:
    """The README.md of a run folder, if a user wrote or changed it; else None."""
    from timbral.checkpoints.model_card import CARD_FILE, is_own_card

    path = run / CARD_FILE
    return path if path.exists() and not is_own_card(path) else None


def _export(embedder: Embedder, folder: Path) -> Path:
    """An ONNX model of the weights as `save` writes them."""
    from timbral import api

    saved = embedder.save(folder / "encoder")
    return api.export(saved, folder / "encoder.onnx").path
