"""Load an Embedder by name or path."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.known_names import DEFAULT_ENCODER
from timbral.inference.embedder import Embedder
from timbral.inference.exported_model import is_exported
from timbral.inference.load_exported import load_exported
from timbral.io.loaded_torch import refuse_without_torch

__all__ = ["embedder_of", "load_encoder"]


def load_encoder(
    encoder: str | Path = DEFAULT_ENCODER,
    *,
    device: str = "auto",
    precision: str = "fp32",
    compile: bool = False,
    weights_dir: str | Path | None = None,
    download: bool = False,
) -> Embedder:
    """Load a trained encoder that turns recordings into vectors.

    Args:
        encoder: a name from `timbral.models()` (the default ships with timbral), a run folder
            (its best checkpoint, else the last), a checkpoint folder, a file or folder of weights
            of another project, a Hugging Face Hub repository (``user/repo``,
            ``user/repo@revision``), or a model from `timbral.export` (.onnx; on the CPU, in the
            precision it was exported with)
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``
        precision: ``fp32``; ``tf32``, faster on CUDA devices; ``bf16``, faster on processors
            with bf16 instructions, with a cosine to ``fp32`` of at least 0.999; or ``int8``, for
            CAM++ and ECAPA-TDNN on a CPU with VNNI (docs/performance.md)
        compile: use torch.compile, which takes minutes at the first recording; no gain on the
            CPUs measured
        weights_dir: for a name: a local copy of its weights (a file, or a folder as on the Hub),
            for machines that cannot download them
        download: for a name or Hub repository: download the weights if they are not on this
            machine. Nothing is downloaded without this or `timbral.download`

    Raises:
        CheckpointError: the encoder does not exist, is not downloaded, or is damaged
        ConfigError: unknown device or precision
        MissingExtraError: the download needs an optional dependency

    Warns if parts of the weights are random, such as the head of a WavLM without a speaker head.
    """
    if weights_dir is None and is_exported(Path(encoder)):
        embedder = load_exported(Path(encoder), device, precision, compile)
    else:
        refuse_without_torch(str(encoder))
        from timbral.inference.load_checkpoint import load_named

        embedder = load_named(encoder, device, precision, compile, weights_dir, download)
    embedder.source = str(encoder)
    return embedder


def embedder_of(encoder: Embedder | str | Path, *, device: str = "auto") -> Embedder:
    """The given Embedder, or the one that `load_encoder` loads on `device`."""
    return load_encoder(encoder, device=device) if isinstance(encoder, str | Path) else encoder
