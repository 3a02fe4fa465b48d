"""Load an Embedder that computes with torch, from a name or a checkpoint."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from timbral.calibration.known import known_calibration
from timbral.checkpoints.checkpoint import uninitialized_message
from timbral.checkpoints.download import download as download_weights
from timbral.checkpoints.download import is_missing
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import load_network
from timbral.encoders.registry import ENCODERS
from timbral.inference.embedder import Embedder
from timbral.inference.optimize import check_8_bits
from timbral.io.devices import check_precision, pick_device

__all__ = ["device_before_download", "load_named"]


def device_before_download(encoder: str, device: str, precision: str) -> torch.device:
    """The device to compute on; ConfigError for an unsupported precision, before any download."""
    picked = pick_device(device)
    check_precision(precision, picked)
    if precision == "int8" and encoder in PUBLISHED and is_missing(encoder):
        check_8_bits(ENCODERS[PUBLISHED[encoder].architecture])
    return picked


def load_named(
    encoder: str | Path,
    device: str,
    precision: str,
    compile: bool,
    weights_dir: str | Path | None,
    download: bool,
) -> Embedder:
    """`load_encoder` for anything but an exported model; arguments and errors as there."""
    torch_device = device_before_download(str(encoder), device, precision)
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
        device=torch_device,
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
