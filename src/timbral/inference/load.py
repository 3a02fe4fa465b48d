"""From a name or a path to an Embedder."""

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
    """A trained encoder, ready to turn recordings into vectors.

    Args:
        encoder: a name of `timbral.models()` (the default comes with timbral), a run folder
            (its best checkpoint, else the last), a checkpoint folder, a file or folder of weights
            of another project, a repository of the Hugging Face Hub (``user/repo``,
            ``user/repo@revision``), or a model that `timbral.export` wrote (.onnx; on the CPU, in
            the precision that it was written in)
        device: ``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``
        precision: ``fp32``; ``tf32``, faster on CUDA devices; or ``bf16``, faster where the
            processor multiplies in it: its vectors keep a cosine of 0.999 or more to those of
            ``fp32``
        compile: let torch compile the encoder, which takes minutes at the first recording; on the
            CPUs measured it gains nothing
        weights_dir: for a name: a copy of its weights (a file, or a folder as the Hub has it), for
            machines that cannot download them
        download: for a name, also of the Hub: download its weights when they are not on this
            machine. Nothing is ever downloaded without this, or a call of `timbral.download`

    Raises:
        CheckpointError: there is no such encoder, it has not been downloaded, or it is damaged
        ConfigError: unknown device or precision
        MissingExtraError: downloading it needs an optional dependency

    Warns when parts of the weights are random, as those of a WavLM without a speaker head are.
    """
    if weights_dir is None and is_exported(Path(encoder)):
        return load_exported(Path(encoder), device, precision, compile)
    refuse_without_torch(str(encoder))
    from timbral.inference.load_checkpoint import load_named

    return load_named(encoder, device, precision, compile, weights_dir, download)


def embedder_of(encoder: Embedder | str | Path, *, device: str = "auto") -> Embedder:
    """An Embedder as it is, anything else as `load_encoder` takes it, on `device`."""
    return load_encoder(encoder, device=device) if isinstance(encoder, str | Path) else encoder
