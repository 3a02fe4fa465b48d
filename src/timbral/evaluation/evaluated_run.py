"""Add an evaluation to the model card of the run whose folder contains it."""

from __future__ import annotations

from pathlib import Path

from timbral.inference.embedder import Embedder
from timbral.io.loaded_torch import torch_is_loaded
from timbral.io.outputs import RUN

__all__ = ["note_in_card"]


def note_in_card(embedder: Embedder, output: Path) -> None:
    """Rewrite RUN/README.md if `output` is RUN/evaluation/NAME and evaluated RUN's best weights."""
    run = output.absolute().parent.parent
    if not torch_is_loaded() or not RUN.is_in(run):  # an exported model has no network to describe
        return
    from timbral.checkpoints.checkpoint import find_checkpoint, is_checkpoint
    from timbral.checkpoints.run_card import EVALUATIONS, write_run_card
    from timbral.encoders.base import SpeakerEncoder

    if output.absolute().parent.name != EVALUATIONS or not is_checkpoint(run):
        return
    network = embedder.runtime.network
    is_best = find_checkpoint(run).weights_sha256 == embedder.weights_sha256
    if is_best and isinstance(network, SpeakerEncoder):
        write_run_card(run, network)
