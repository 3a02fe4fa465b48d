"""Convert weights of other projects to checkpoint folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import nn

from timbral.checkpoints.checkpoint import Checkpoint, refuse_other_origin, save_checkpoint
from timbral.checkpoints.foreign.base import ConvertedWeights
from timbral.checkpoints.foreign.weight_files import find_weights
from timbral.checkpoints.known_files import CONFIG_FILES, WEIGHTS_FILE
from timbral.checkpoints.weights import build_encoder, load_strictly, with_prefix
from timbral.config.schema import TrainConfig
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import CheckpointError, ConfigError
from timbral.io.cache import cache_folder, cache_lock
from timbral.io.files import file_sha256
from timbral.io.outputs import CHECKPOINT, claim_folder
from timbral.losses.registry import build_loss

__all__ = [
    "convert",
    "convert_to_cache",
    "is_readable",
    "is_whole",
    "source_files",
    "write_converted",
]


COUNTER = "num_batches_tracked"
"""batch norm's counter, used only in training: some projects leave it out, or store a float"""


def convert(source: str | Path, output: str | Path, format: str | None = None) -> Checkpoint:
    """Convert weights of another project to a checkpoint folder, without running any of its code.

    Args:
        source: a file, or a folder of transformers or SpeechBrain
        output: the folder to write
        format: ``resemblyzer``, ``real-time-voice-cloning``, ``chatterbox``,
            ``cosyvoice``, ``ddvc``, ``paddlespeech``, ``speechbrain``, ``3d-speaker``,
            ``wespeaker``, ``wespeaker-campplus``, ``wespeaker-ecapa``, ``wespeaker-mhfa``,
            ``wespeaker-redimnet``, ``wespeaker-w2v-bert``, ``pyannote``, ``redimnet``,
            ``transformers``, ``transformers-w2v-bert`` or ``unispeech``;
            None: detected from the content

    Returns:
        the new checkpoint; pass its folder to `load_encoder`

    Raises DataError if `output` holds anything but these converted weights, CheckpointError if the
    weights cannot be read or do not fit.
    """
    from timbral.checkpoints.foreign.registry import read_foreign  # imports every reader

    source, output = Path(source), Path(output)
    claim_folder(output, CHECKPOINT, [source])
    origin = {"files": source_files(source)}
    refuse_other_origin(output, origin)
    write_converted(read_foreign(source, format), output, origin=origin, replace=False)
    return Checkpoint.read(output)


def convert_to_cache(source: Path) -> Path:
    """A checkpoint folder in the cache for another project's weights, which are converted once.

    Several processes may call this at the same time.
    """
    files = source_files(source)
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()
    folder = cache_folder() / f"{find_weights(source).stem}-{digest[:16]}"
    if not is_whole(folder):
        from timbral.checkpoints.foreign.registry import read_foreign

        with cache_lock(folder.name):
            if not is_whole(folder):  # another process may have converted them
                write_converted(read_foreign(source), folder, source.stem, origin={"files": files})
    return folder


def is_whole(folder: Path) -> bool:
    """Whether a folder contains a readable checkpoint with unchanged weights."""
    try:
        Checkpoint.read(folder).check_weights()
    except CheckpointError:
        return False
    return is_readable(folder)


def is_readable(folder: Path) -> bool:
    """A quick `is_whole` without hashes: damage that keeps the file's size is not noticed."""
    try:
        Checkpoint.read(folder)
        with safetensors.safe_open(folder / WEIGHTS_FILE, framework="pt"):
            return True
    except (CheckpointError, OSError, safetensors.SafetensorError):
        return False


def source_files(source: Path) -> dict[str, str]:
    """The SHA-256 of a weights file and of the configs next to it, by file name."""
    weights = find_weights(source)
    configs = [path for name in CONFIG_FILES if (path := weights.with_name(name)).is_file()]
    return {path.name: file_sha256(path) for path in (weights, *configs)}


def write_converted(
    weights: ConvertedWeights,
    folder: Path,
    name: str = "",
    license: str = "",
    origin: Mapping[str, Any] | None = None,
    *,
    replace: bool = True,
) -> None:
    """Write converted weights as a checkpoint folder; every tensor must fit.

    `origin` becomes `Checkpoint.origin`; for `replace` see `save_checkpoint`. Raises
    CheckpointError that names the first tensors that do not fit.
    """
    config = TrainConfig(encoder=weights.encoder)
    encoder = build_converted(weights)
    modules: dict[str, nn.Module] = {"encoder": encoder}
    loss_tensors = with_prefix(weights.tensors, "loss")
    if loss_tensors:
        modules["loss"] = build_loss(config.loss, encoder.embedding_dim, 0)
        load_strictly(modules["loss"], loss_tensors, name or folder)
    checkpoint = Checkpoint(
        folder,
        weights.step,
        config,
        weights.preprocessing,
        name=name,
        license=license,
        uninitialized_prefixes=weights.uninitialized_prefixes,
        origin=origin or {},
    )
    save_checkpoint(checkpoint, modules, replace=replace)


def build_converted(weights: ConvertedWeights) -> SpeakerEncoder:
    """The encoder with its tensors; those that the source lacks are random, with a fixed seed.

    Raises CheckpointError if sizes or tensors do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            numbers = sum(tensor.numel() for tensor in weights.tensors.values())
            encoder = build_encoder(weights.encoder, numbers)
        except ConfigError as error:
            raise CheckpointError(f"these weights: {error}") from error
    tensors = with_prefix(weights.tensors, "encoder")
    for key, initial in encoder.state_dict().items():
        is_counter = key.endswith(COUNTER) and key.removesuffix(COUNTER) + "running_var" in tensors
        if key.startswith(weights.uninitialized_prefixes) or is_counter:
            tensors[key] = initial
    load_strictly(encoder, tensors, "these weights")
    return encoder
