"""Load an Embedder from an exported model."""

from __future__ import annotations

from pathlib import Path

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import parse_calibration
from timbral.errors import CheckpointError, ConfigError, DataError
from timbral.inference.embedder import Embedder
from timbral.inference.exported_model import ExportedModel
from timbral.inference.onnx_runtime import OnnxRuntime
from timbral.io.json_parsing import parse_json

__all__ = ["load_exported"]


def load_exported(path: Path, device: str, precision: str, compile: bool) -> Embedder:
    """An Embedder that runs a file from `timbral export` with onnxruntime.

    Raises CheckpointError for other files, ConfigError for a device or precision other than the
    exported one, MissingExtraError without onnxruntime.
    """
    if device not in ("auto", "best", "cpu"):
        raise ConfigError(f"device: an exported model runs on the cpu, not on {device!r}")
    if precision != "fp32" or compile:
        raise ConfigError(
            f"{path}: precision and compile cannot be set for an exported model, which has the "
            "precision of its export; leave them out"
        )
    runtime = OnnxRuntime(path)
    model = runtime.model
    embedder = Embedder(
        runtime,
        model.preprocessing,
        name=model.name,
        weights_sha256=model.weights_sha256,
        license=model.license,
        threshold=model.threshold,
        uninitialized_prefixes=model.uninitialized_prefixes,
    )
    embedder.calibration = _calibration(model, embedder, path)
    return embedder


def _calibration(model: ExportedModel, embedder: Embedder, path: Path) -> Calibration | None:
    if not model.calibration:
        return None
    try:
        calibration = parse_calibration(parse_json(model.calibration), path)
    except (DataError, ValueError) as error:
        raise CheckpointError(f"{path}: its calibration cannot be used ({error})") from None
    calibration.check_encoder(embedder.weights_sha256, embedder.embedding_identity(), str(path))
    return calibration
