"""An Embedder as a folder that others can use, and as a repository of the Hugging Face Hub."""

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
