"""From a name or a path to an Embedder."""

from __future__ import annotations

import warnings
from pathlib import Path

from timbral.checkpoints.checkpoint import uninitialized_message
from timbral.checkpoints.download import download
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import load_network
from timbral.inference.embedder import Embedder
from timbral.io.devices import pick_device

__all__ = ["load_encoder"]


def load_encoder(
    encoder: str | Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    compile: bool = False,
    pretrained: Path | None = None,
) -> Embedder:
    """An Embedder from a name of `timbral models`, a run folder, a checkpoint folder, or a file
    of weights of another project.

    Of a run folder the best checkpoint is taken, else the last. `pretrained` is a copy of what a
    name stands for, where it cannot be downloaded. Raises CheckpointError when there is none.
    """
    if pretrained is not None:
        download(str(encoder), pretrained)
    checkpoint = resolve(encoder)
    if checkpoint.uninitialized_prefixes:
        warnings.warn(uninitialized_message(checkpoint), stacklevel=2)
    return Embedder(
        load_network(checkpoint),
        checkpoint.preprocessing,
        device=pick_device(device),
        precision=precision,
        compile=compile,
        name=checkpoint.name,
        weights_sha256=checkpoint.weights_sha256,
        license=checkpoint.license,
    )
