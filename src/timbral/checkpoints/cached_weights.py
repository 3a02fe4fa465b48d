"""Where published weights are on this machine; needs no torch."""

from __future__ import annotations

from pathlib import Path

import safetensors

from timbral.checkpoints.known_files import METADATA_FILE, WEIGHTS_FILE
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weight_sources import Shipped
from timbral.errors import DataError
from timbral.io.cache import cache_folder
from timbral.io.files import read_json

__all__ = ["is_downloaded", "weights_folder"]


def weights_folder(name: str) -> Path:
    """The checkpoint folder for published weights, which may not have been downloaded."""
    source = PUBLISHED[name].source
    if isinstance(source, Shipped):
        return source.folder
    version = source.version
    return cache_folder() / (f"{name}-{version[:8]}" if version else name)


def is_downloaded(name: str) -> bool:
    """Whether published weights are in their folder, by a quick check that does not hash them."""
    try:
        folder = weights_folder(name)
        read_json(folder / METADATA_FILE)
        with safetensors.safe_open(folder / WEIGHTS_FILE, framework="np"):
            return True
    except (DataError, OSError, ValueError, safetensors.SafetensorError):
        return False
