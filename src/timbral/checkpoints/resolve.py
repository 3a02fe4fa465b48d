"""Find the checkpoint that a name or a path stands for."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.checkpoint import Checkpoint, find_checkpoint, is_checkpoint
from timbral.checkpoints.conversion import convert_to_cache
from timbral.checkpoints.download import downloaded_folder
from timbral.checkpoints.foreign.weight_files import holds_weights
from timbral.checkpoints.hub_encoder import pinned_folder
from timbral.checkpoints.hub_names import hub_name
from timbral.checkpoints.known_names import refuse_unknown
from timbral.checkpoints.published import PUBLISHED
from timbral.errors import CheckpointError

__all__ = ["resolve"]


def resolve(encoder: str | Path) -> Checkpoint:
    """The checkpoint of a run, a checkpoint folder, weights of another project, or a name.

    Names are those of published weights, and ``user/repo`` or ``user/repo@revision`` of the Hub. A
    path is preferred to the name of published weights only if it contains a checkpoint or weights.
    Raises CheckpointError if there is no checkpoint, or weights have not been downloaded.
    """
    path, name = Path(encoder), str(encoder)
    if is_checkpoint(path):
        return find_checkpoint(path)
    if holds_weights(path):
        return Checkpoint.read(convert_to_cache(path))
    if name in PUBLISHED:
        folder = downloaded_folder(name)
        if folder is None:
            raise CheckpointError(
                f"{name} has not been downloaded to this machine yet; run: timbral download {name}"
            )
        return Checkpoint.read(folder)
    if (repository := hub_name(encoder)) is not None:
        folder = pinned_folder(repository)
        if folder is None:
            raise CheckpointError(
                f"{name}: no such folder, and no repository of that name was downloaded from the "
                f"Hugging Face Hub to this machine; run: timbral download {name}"
            )
        return Checkpoint.read(folder)
    refuse_unknown(encoder)
    return find_checkpoint(path)
