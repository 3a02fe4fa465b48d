"""Names of published weights; needs no torch, so that a typo is reported at once."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.hub_names import hub_name
from timbral.errors import CheckpointError, did_you_mean
from timbral.io.near_names import beside

__all__ = ["DEFAULT_ENCODER", "OWN_ENCODERS", "PUBLISHED_NAMES", "refuse_unknown"]

DEFAULT_ENCODER = "campplus-int8"
"""comes with timbral; used if no encoder is given, and only if its vectors are not stored"""
OWN_ENCODERS: list[str] = []
"""names of the user's classes that were registered in this process"""

PUBLISHED_NAMES = (
    "campplus-int8",
    "timbral-small",
    "ge2e-lstm",
    "campplus-zh-en",
    "ecapa",
    "resnet34-voxceleb",
    "wavlm-base",
    "wavlm-base-plus",
    "wavlm-large",
    "wavlm-base-sv",
    "wavlm-base-plus-sv",
    "wavlm-sim-o",
)
"""the names of `timbral.checkpoints.published.PUBLISHED`"""
FILE_SUFFIXES = frozenset({".bin", ".ckpt", ".onnx", ".pt", ".pth", ".safetensors"})
"""suffixes of exported models and of files of weights"""


def refuse_unknown(encoder: str | Path) -> None:
    """Raise CheckpointError for what is neither published weights, a path nor a Hub name."""
    path, name = Path(encoder), str(encoder)
    if name in PUBLISHED_NAMES or path.exists() or hub_name(encoder) is not None:
        return
    if path.suffix in FILE_SUFFIXES:
        raise CheckpointError(f"{path}: no such file{beside(path)}")
    if path.name == name:
        raise CheckpointError(
            f"{name!r} is neither a run folder nor a known encoder"
            f"{did_you_mean(name, PUBLISHED_NAMES)}"
        )
    raise CheckpointError(
        f"{path}: no such folder; a run folder (made by `timbral train`) or a checkpoint folder "
        "(RUN/checkpoints/step-N) is needed"
    )
