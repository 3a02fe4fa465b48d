"""An Embedder as a folder that others can use, and as a repository of the Hugging Face Hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from timbral.audio.preprocessing import Preprocessing
from timbral.calibration.calibration import Calibration
from timbral.checkpoints.hub_names import check_repository
from timbral.checkpoints.hub_upload import upload_folder
from timbral.checkpoints.model_card import (
    CARD_FILE,
    ModelCard,
    NetworkSizes,
    is_own_card,
    read_evaluations,
    write_card,
)
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import CheckpointError
from timbral.inference.exported_model import is_exported
from timbral.inference.onnx_runtime import OnnxRuntime
from timbral.inference.saving import save_encoder

__all__ = ["SharedEncoder"]

EXPORTED_FILE = "encoder.onnx"


class SharedEncoder:
    """What an Embedder has to be saved and shared."""

    preprocessing: Preprocessing
    name: str
    license: str
    weights_sha256: str
    threshold: float | None
    uninitialized_prefixes: tuple[str, ...]
    calibration: Calibration | None
    validation_eer: float | None = None
    """lowest on the speakers that its run held out; None where that is not known"""
    training_data: Mapping[str, Any] = {}
    """what its run trained on: speakers, utterances, hours, corpora; empty where not known"""

    @property
    def network(self) -> SpeakerEncoder:
        raise NotImplementedError

    def save(
        self,
        folder: str | Path,
        *,
        license: str | None = None,
        evaluations: Iterable[str | Path] = (),
        exported: str | Path | None = None,
    ) -> Path:
        """Write a checkpoint folder that `load_encoder` and every verb take; returns its path.

        It holds the weights (safetensors), the architecture's config, the preprocessing, name,
        license, threshold and calibration, a model card (README.md; one that somebody wrote stays),
        and no optimizer: training can start from it, not resume.

        Args:
            folder: new, empty, or with an earlier checkpoint
            license: of the weights; None: what is known of them
            evaluations: folders that `timbral.evaluate` wrote with these weights, for the card
            exported: a model that `timbral.export` wrote of this encoder, to lie beside

        Raises DataError when the folder holds anything but an earlier checkpoint.
        """
        path = Path(folder)
        self._save(path, path.absolute().name, license, evaluations, exported, on_hub=False)
        return path

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool = False,
        license: str | None = None,
        evaluations: Iterable[str | Path] = (),
        exported: str | Path | None = None,
        card: str | Path | None = None,
        revision: str | None = None,
        message: str = "Upload a speaker encoder with timbral",
    ) -> str:
        """Upload what `save` writes to the Hugging Face Hub; returns ``user/repo@commit``.

        That name is what `load_encoder` takes anywhere. The repository is made where there is
        none; files of other names in it stay.

        Args:
            repository: ``user/repo``
            private: of a new repository
            license, evaluations, exported: as for `save`
            card: a README.md to take instead of the one that is made
            revision: a branch, which is made where there is none; None: the main one
            message: of the commit

        Raises ConfigError for an impossible name, CheckpointError when the Hub refuses,
        MissingExtraError without its client.
        """
        check_repository(repository)
        with tempfile.TemporaryDirectory(prefix="timbral-push-") as temporary:
            folder = Path(temporary) / "encoder"
            self._save(folder, repository, license, evaluations, exported, on_hub=True)
            if card is not None and not is_own_card(Path(card)):
                shutil.copyfile(card, folder / CARD_FILE)
            return upload_folder(folder, repository, private, revision, message)

    def _save(
        self,
        folder: Path,
        title: str,
        license: str | None,
        evaluations: Iterable[str | Path],
        exported: str | Path | None,
        *,
        on_hub: bool,
    ) -> None:
        known = self.license if license is None else license
        found = read_evaluations(map(Path, evaluations), self.weights_sha256)
        path = folder / CARD_FILE
        kept = path.read_bytes() if path.exists() and not is_own_card(path) else None
        saved = save_encoder(
            folder,
            self.network,
            self.preprocessing,
            threshold=self.threshold,
            name=self.name,
            license=known,
            uninitialized_prefixes=self.uninitialized_prefixes,
            calibration=self.calibration,
            validation_eer=self.validation_eer,
            training_data=self.training_data,
        )
        if exported is not None:
            _check_same_encoder(Path(exported), saved.weights_sha256)
            shutil.copyfile(exported, folder / EXPORTED_FILE)
        card = ModelCard(
            title=title,
            load_from=title,
            network=NetworkSizes.of(self.network),
            preprocessing=self.preprocessing,
            weights_sha256=saved.weights_sha256,
            license=known,
            is_on_hub=on_hub,
            threshold=self.threshold,
            validation_eer=self.validation_eer,
            training_data=self.training_data,
            evaluations=found,
            calibration=_calibration_in_words(self.calibration),
            exported="" if exported is None else EXPORTED_FILE,
            is_random=bool(self.uninitialized_prefixes),
        )
        if kept is not None:
            path.write_bytes(kept)
        write_card(folder, card)


def _check_same_encoder(exported: Path, weights_sha256: str) -> None:
    """CheckpointError for an exported model of other weights, as those of the run itself are."""
    if not is_exported(exported):
        raise CheckpointError(f"{exported}: is no file that ends in .onnx")
    found = OnnxRuntime(exported).model.weights_sha256
    if found != weights_sha256:
        raise CheckpointError(
            f"{exported}: is of weights {found[:8]}, and those saved are {weights_sha256[:8]}, so "
            "their vectors would not be taken for the same encoder's; save the encoder to a "
            "folder, and export that folder"
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
