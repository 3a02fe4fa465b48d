"""Write an encoder as one file that takes waveforms."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from timbral.audio.decode import Wave
from timbral.calibration.calibration_file import calibration_document
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import CheckpointError, ConfigError, MissingExtraError
from timbral.exporting.byte_activations import quantize_activations
from timbral.exporting.byte_weights import quantize_weights
from timbral.exporting.compact_graph import compact
from timbral.exporting.graph import WaveGraph, WindowGraph, graph_of
from timbral.exporting.half_weights import halve_weights
from timbral.exporting.parity import check_parity, measure_parity, parity_waves, with_error_rates
from timbral.exporting.range_recordings import RangeCorpus, range_waves
from timbral.exporting.shipped_trials import ShippedTrials
from timbral.exporting.tracing import trace
from timbral.inference.embedder import Embedder
from timbral.inference.exported_model import (
    EXPORTED_MODEL,
    FORMAT,
    NO_HASH,
    PRODUCER,
    STATIC,
    ExportedModel,
    ExportedNetwork,
    Parity,
    with_hash,
)
from timbral.inference.load import embedder_of
from timbral.inference.onnx_runtime import open_session
from timbral.inference.torch_runtime import TorchRuntime
from timbral.io.files import atomic_write
from timbral.io.onnxruntime_import import import_onnxruntime
from timbral.io.outputs import claim_file
from timbral.io.types import Vectors
from timbral.version import __version__

if TYPE_CHECKING:
    import onnx

__all__ = ["ExportSummary", "check_export", "export", "store_weights"]

LARGEST_BYTES = 2_000_000_000
"""of a network's float32 weights; ONNX's files, and graphs while they are traced, end at 2 GiB"""

PRECISIONS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "fp32": lambda proto: None,
    "fp16": halve_weights,
    "int8": quantize_weights,
}
"""how each precision stores the weights of a graph"""


@dataclass(frozen=True)
class ExportSummary:
    """What `export` wrote."""

    path: Path
    num_bytes: int
    parity: Parity
    num_products: int = 0
    """number of products that are computed in 8 bits"""


def export(
    encoder: Embedder | str | Path,
    output: str | Path,
    *,
    precision: str = "fp32",
    calibrate: RangeCorpus | None = None,
) -> ExportSummary:
    """Write an encoder as one ONNX file that takes waveforms, and measure its parity with torch.

    The graph contains front-end, masks, windows, network and normalization to unit length: waves
    (B, T) float32 and lengths (B,) int64 in, vectors (B, E) out. The file's metadata contain the
    preprocessing. `load_encoder` and every verb take the file; docs/export.md shows how to use it
    without timbral.

    Args:
        encoder: an Embedder, or anything that `load_encoder` takes
        output: the file, which must end in .onnx
        precision: precision of the weights in the file: ``fp32``; ``fp16`` for about half the size;
            or ``int8`` for less than a third, for which error rates on shipped voices are also
            measured. Everything is computed in float32
        calibrate: with ``int8``: a corpus, as `find_utterances` takes it, or utterances. Products
            over frames are then computed in 8 bits, with ranges measured on its recordings

    Raises:
        ConfigError: an unknown precision, another suffix, `calibrate` without ``int8``, or an
            encoder that is exported already
        CheckpointError: the network has more than 2 GB in float32, or ONNX cannot express it; the
            vectors differ from those of torch (fp32: cosine below 0.99999, or a difference above
            1e-4; fp16: 0.9999 and 5e-3; int8: 0.99 and 0.1, or an EER that is 0.5 points higher);
            or no product can be computed in 8 bits. Nothing is written then
        DataError: `output` is another kind of file, or `calibrate` has too few usable recordings
        MissingExtraError: onnx or onnxruntime is not installed
    """
    path = Path(output)
    check_export(path, precision, calibrate is not None)
    embedder = embedder_of(encoder, device="cpu")
    network = embedder.network
    claim_file(path, EXPORTED_MODEL, [encoder] if isinstance(encoder, str | Path) else [])
    _check_size(network)
    waves = [] if calibrate is None else range_waves(calibrate, embedder)
    proto = _trace(graph_of(network), network)
    products = quantize_activations(proto, waves, network.sample_rate, path) if waves else 0
    store_weights(proto, precision)
    stored_precision = STATIC if products else precision
    parity = _measure(proto, embedder, path, stored_precision)
    check_parity(parity, stored_precision)
    metadata = _metadata(embedder, stored_precision, parity, products)
    proto.metadata_props.add(key="timbral", value=json.dumps(metadata.as_dict()))
    proto.metadata_props.add(key="file_sha256", value=NO_HASH)
    content = with_hash(proto.SerializeToString())
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return ExportSummary(path, len(content), parity, products)


def check_export(path: Path, precision: str, calibrated: bool = False) -> None:
    """The checks that need no encoder; raises ConfigError or MissingExtraError."""
    if precision not in PRECISIONS:
        *others, last = PRECISIONS
        allowed = f"{', '.join(others)} or {last}"
        raise ConfigError(f"precision: {precision!r} is not supported; allowed: {allowed}")
    if calibrated and precision != "int8":
        raise ConfigError(
            f"`calibrate` is for precision int8 only, and the precision is {precision}; add "
            "precision int8, or leave `calibrate` out"
        )
    if path.suffix.lower() != ".onnx":
        raise ConfigError(f"{path}: the name of an exported model must end in .onnx")
    try:
        import onnx  # noqa: F401

        import_onnxruntime()
    except ImportError:
        raise MissingExtraError("exporting an encoder", "export") from None


def _check_size(network: SpeakerEncoder) -> None:
    """Raise CheckpointError for a network that no ONNX file can hold, before it is traced."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    num_bytes = 4 * sum(tensor.numel() for tensor in tensors)
    if num_bytes > LARGEST_BYTES:
        raise CheckpointError(
            f"{network.name}: has {num_bytes / 4e6:,.0f} million weights, {num_bytes / 1e9:.1f} GB "
            "in float32, and one ONNX file holds at most 2 GB; use the encoder in torch, or a "
            "student of it (docs/distillation.md)"
        )


def _trace(graph: WaveGraph | WindowGraph, network: SpeakerEncoder) -> onnx.ModelProto:
    """The graph in ONNX, traced on two utterances of different lengths."""
    samples = max(3 * network.sample_rate, 2 * network.min_samples)
    lengths = torch.tensor([samples, samples - network.sample_rate // 3])
    dynamic = {name: {0: "batch"} for name in ("lengths", *graph.outputs)}
    proto = trace(
        graph.eval(),
        {"waves": torch.zeros(2, samples), "lengths": lengths},
        graph.outputs,
        {"waves": {0: "batch", 1: "samples"}, **dynamic},
        network.name,
    )
    proto.producer_name, proto.producer_version = PRODUCER, __version__
    return proto


def store_weights(proto: onnx.ModelProto, precision: str) -> None:
    """Store the weights of a graph in a precision, and make its file smaller, in place."""
    PRECISIONS[precision](proto)
    compact(proto)


def _measure(proto: onnx.ModelProto, embedder: Embedder, path: Path, precision: str) -> Parity:
    network = embedder.network
    session = open_session(proto.SerializeToString(), path)
    torch_runtime = TorchRuntime(network, next(network.parameters()).device)

    def reference(waves: Sequence[Wave]) -> Vectors:
        return torch_runtime.embed_waves(waves, network.windows)

    def exported(waves: Sequence[Wave]) -> Vectors:
        lengths = np.array([len(wave) for wave in waves], dtype=np.int64)
        # padded with ones, not zeros, so that a missing mask shows
        padded = np.ones((len(waves), lengths.max()), dtype=np.float32)
        for row, wave in enumerate(waves):
            padded[row, : len(wave)] = wave
        vectors: Vectors = session.run(["vectors"], {"waves": padded, "lengths": lengths})[0]
        return vectors

    waves = parity_waves(network.min_samples, network.sample_rate)
    parity = measure_parity(reference, exported, waves, network.sample_rate)
    if not precision.startswith("int8"):
        return parity
    trials = ShippedTrials.of(embedder.load_audio, network.sample_rate, network.min_samples)
    return with_error_rates(parity, trials, embedder.encode_preprocessed, exported)


def _metadata(
    embedder: Embedder, precision: str, parity: Parity, num_products: int
) -> ExportedModel:
    network, calibration = embedder.network, embedder.calibration
    weights, windows = embedder.weights_identity(), network.windows
    facts = ExportedNetwork(
        name=network.name,
        sample_rate=network.sample_rate,
        embedding_dim=network.embedding_dim,
        min_samples=network.min_samples,
        hop_samples=network.hop_samples,
        longest_seconds=network.longest_seconds,
        window_frames=windows.frames if windows else 0,
        window_step=windows.step if windows else 0,
        window_min_coverage=windows.min_coverage if windows else 0.0,
    )
    return ExportedModel(
        format=FORMAT,
        name=embedder.name,
        network=facts,
        preprocessing=embedder.preprocessing,
        weights_sha256=weights,
        embedding_identity=embedder.embedding_identity(),
        precision=precision,
        parity=parity,
        num_products=num_products,
        license=embedder.license,
        threshold=embedder.threshold,
        uninitialized_prefixes=embedder.uninitialized_prefixes,
        calibration="" if calibration is None else json.dumps(calibration_document(calibration)),
        made_with=_versions(),
    )


def _versions() -> str:
    import onnx

    return f"timbral {__version__}, torch {torch.__version__}, onnx {onnx.__version__}"
