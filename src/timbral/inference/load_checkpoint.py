"""From a name or a checkpoint to an Embedder, which computes with torch."""

from __future__ import annotations

import warnings
from pathlib import Path

from timbral.calibration.known import known_calibration
from timbral.checkpoints.checkpoint import uninitialized_message
from timbral.checkpoints.download import download as download_weights
from timbral.checkpoints.download import is_missing
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import load_network
from timbral.inference.embedder import Embedder
from timbral.io.devices import pick_device

__all__ = ["load_named"]


def load_named(
    encoder: str | Path,
    device: str,
    precision: str,
    compile: bool,
    weights_dir: str | Path | None,
    download: bool,
) -> Embedder:
    """What `load_encoder` makes of anything but an exported model; its arguments and errors."""
    if weights_dir is not None:
        download_weights(str(encoder), weights_dir)
    elif download and is_missing(str(encoder)):
        download_weights(str(encoder))
    checkpoint = resolve(encoder)
    if checkpoint.uninitialized_prefixes:
        warnings.warn(uninitialized_message(checkpoint), stacklevel=2)
    embedder = Embedder(
        load_network(checkpoint),
        checkpoint.preprocessing,
        device=pick_device(device),
        precision=precision,
        compile=compile,
        name=checkpoint.name,
        weights_sha256=checkpoint.weights_sha256,
        license=checkpoint.license,
        threshold=checkpoint.validation_threshold,
        uninitialized_prefixes=checkpoint.uninitialized_prefixes,
        training_list=checkpoint.training_list,
    )
    embedder.training_data = checkpoint.training_data
    embedder.validation_eer = checkpoint.validation_eer
    calibration = known_calibration(checkpoint)
    if calibration is not None and calibration.embedding_sha256 == embedder.embedding_identity():
        embedder.calibration = calibration
    return embedder
