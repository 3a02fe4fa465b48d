"""Write the README.md of a run folder."""

from __future__ import annotations

import os
from pathlib import Path

from timbral.checkpoints.card_evaluations import read_evaluations
from timbral.checkpoints.checkpoint import find_checkpoint
from timbral.checkpoints.model_card import (
    ModelCard,
    NetworkSizes,
    write_card,
)
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import DataError

__all__ = ["EVALUATIONS", "write_run_card"]

EVALUATIONS = "evaluation"
"""the folder of a run for results of `timbral evaluate`"""


def write_run_card(run: Path, network: SpeakerEncoder) -> None:
    """Describe the best checkpoint of a run, and its evaluations, in RUN/README.md.

    A README.md that a user has written or changed is kept.
    """
    checkpoint = find_checkpoint(run)
    folders = sorted(path for path in (run / EVALUATIONS).glob("*/") if path.is_dir())
    try:
        evaluations = read_evaluations(folders, checkpoint.weights_sha256)
    except DataError:  # a damaged result must not end the training
        evaluations = []
    name = Path(os.path.abspath(run)).name
    card = ModelCard(
        title=name,
        load_from=name,
        network=NetworkSizes.of(network),
        preprocessing=checkpoint.preprocessing,
        weights_sha256=checkpoint.weights_sha256,
        license=checkpoint.license,
        threshold=checkpoint.validation_threshold,
        validation_eer=checkpoint.validation_eer,
        training_data=checkpoint.training_data,
        evaluations=evaluations,
    )
    write_card(run, card)
