"""Save an Embedder to a folder, or upload it to the Hugging Face Hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbral.audio.preprocessing import Preprocessing
from timbral.calibration.calibration import Calibration
from timbral.checkpoints.hub_names import check_repository

if TYPE_CHECKING:  # an exported model, which cannot be saved, needs no torch
    from timbral.encoders.base import SpeakerEncoder

__all__ = ["SharedEncoder"]


class SharedEncoder:
    """The part of an Embedder that saves and uploads it."""

    preprocessing: Preprocessing
    name: str
    license: str
    weights_sha256: str
    threshold: float | None
    uninitialized_prefixes: tuple[str, ...]
    calibration: Calibration | None
    source: str = ""
    """what `load_encoder` was given: a name or path; empty without it"""
    validation_eer: float | None = None
    """lowest EER on the held-out speakers of its run; None if unknown"""
    training_data: Mapping[str, Any] = {}
    """training data of its run: speakers, utterances, hours, corpora; empty if unknown"""

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
        """Write a checkpoint folder for `load_encoder` and all commands; returns its path.

        It has the weights (safetensors), the architecture's config, preprocessing, name, license,
        threshold, calibration, and a model card (README.md; a card of your own is kept), but no
        optimizer: training can start from it, not resume.

        Args:
            folder: new, empty, or with an earlier checkpoint
            license: license of the weights; None: the known one
            evaluations: folders from `timbral.evaluate` with these weights, for the card
            exported: a model from `timbral.export` of this encoder, to include

        Raises DataError if the folder holds anything but an earlier checkpoint.
        """
        path = Path(folder)
        from timbral.inference.saving import save_with_card

        save_with_card(self, path, path.absolute().name, license, evaluations, exported)
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

        `load_encoder` accepts that name anywhere. The repository is created if needed; its other
        files stay.

        Args:
            repository: ``user/repo``
            private: make a new repository private
            license, evaluations, exported: as for `save`
            card: your own README.md, instead of the generated one
            revision: a branch, created if needed; None: the main one
            message: commit message

        Raises ConfigError for an impossible name, CheckpointError if the Hub refuses,
        MissingExtraError if its client is not installed.
        """
        from timbral.checkpoints.hub_upload import upload_folder
        from timbral.checkpoints.model_card import CARD_FILE, is_own_card
        from timbral.inference.saving import save_with_card

        check_repository(repository)
        with tempfile.TemporaryDirectory(prefix="timbral-push-") as temporary:
            folder = Path(temporary) / "encoder"
            save_with_card(self, folder, repository, license, evaluations, exported, on_hub=True)
            if card is not None and not is_own_card(Path(card)):
                shutil.copyfile(card, folder / CARD_FILE)
            return upload_folder(folder, repository, private, revision, message)
