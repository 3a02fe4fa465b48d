"""Write an encoder for sherpa-onnx's extractor of speaker embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.audio.decode import Wave
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.frontends import KaldiFbank
from timbral.errors import ConfigError
from timbral.exporting.export_encoder import check_export, store_weights
from timbral.exporting.parity import (
    check_parity,
    measure_parity,
    parity_waves,
    shipped_recordings,
    with_error_rates,
)
from timbral.exporting.replacements import with_replacements
from timbral.exporting.sherpa_features import SherpaFbank, fit_correction
from timbral.exporting.shipped_trials import ShippedTrials
from timbral.exporting.tracing import trace
from timbral.inference.embedder import Embedder
from timbral.inference.exported_model import Parity
from timbral.inference.load import embedder_of
from timbral.inference.onnx_runtime import open_session
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind, claim_file
from timbral.io.types import Vectors
from timbral.version import __version__

if TYPE_CHECKING:
    import onnx

__all__ = ["SherpaSummary", "export_for_sherpa"]

PRODUCER = "timbral-sherpa"
SHERPA_FILE = FileKind("a model for sherpa-onnx", signature=b"\x12\x0etimbral-sherpa")
LEAST_SAMPLES = 16_000
"""shortest recording, in samples, on which the file is measured"""
PCM_SCALE = 32_768.0


@dataclass(frozen=True)
class SherpaSummary:
    """What `export_for_sherpa` wrote."""

    path: Path
    num_bytes: int
    parity: Parity
    """how close the graph in onnxruntime is to torch, both with sherpa-onnx's filter banks"""
    cosine: float
    """mean cosine of its vectors to the encoder's own, on some recordings"""
    least_cosine: float
    """the lowest of these cosines"""
    uncorrected_cosine: float
    """mean cosine without the fitted layer"""


class SherpaGraph(nn.Module):
    """From sherpa-onnx's filter banks (B, F, M) of whole recordings to unit vectors (B, E)."""

    def __init__(self, network: SpeakerEncoder, correction: nn.Module) -> None:
        super().__init__()
        self.network, self.correction = network, correction
        self.mean_normalize = network.frontend.config.mean_normalize

    def forward(self, banks: Tensor) -> Tensor:
        frames = self.correction(banks[:, 1:-1])  # the first and last frames extend over the ends
        if self.mean_normalize:
            frames = frames - frames.mean(1, keepdim=True)
        lengths = torch.ones_like(frames[:, :, 0]).sum(1).long()
        return functional.normalize(self.network.embed_features(frames, lengths), dim=1)


def export_for_sherpa(
    encoder: Embedder | str | Path, output: str | Path, *, precision: str = "fp32"
) -> SherpaSummary:
    """Write an encoder as a file for sherpa-onnx's SpeakerEmbeddingExtractor.

    sherpa-onnx computes other filter banks than the encoder was trained on
    (`timbral.exporting.sherpa_features`). A layer in the graph, fitted to shipped voices, corrects
    most of that. Still, the vectors differ from the encoder's own: compare them only with each
    other. The encoder's threshold and calibration do not apply to them.

    Args:
        encoder: an Embedder, or anything that `load_encoder` takes, with 80 Kaldi filter banks as
            its front-end (`campplus`, `resnet`, `eres2net-v2`)
        output: the file, which must end in .onnx
        precision: precision of its weights, as for `export`

    Raises ConfigError for another front-end, and the errors of `timbral.export`.
    """
    path = Path(output)
    check_export(path, precision)
    embedder = embedder_of(encoder, device="cpu")
    network = embedder.network
    frontend = network.frontend
    if type(frontend) is not KaldiFbank or frontend.num_features != 80:
        raise ConfigError(
            f"{network.name}: sherpa-onnx computes 80 Kaldi filter banks, and this encoder takes "
            "other features; allowed: campplus, campplus-small, resnet, eres2net-v2"
        )
    claim_file(path, SHERPA_FILE, [encoder] if isinstance(encoder, str | Path) else [])
    voices = [embedder.load_audio(recording) for recording in shipped_recordings()]
    exported = with_replacements(network)
    assert isinstance(exported.frontend, KaldiFbank)
    graph = SherpaGraph(exported, fit_correction(exported.frontend, voices)).eval()
    proto = trace(
        graph,
        {"x": torch.zeros(1, 300, frontend.num_features)},
        ["embedding"],
        {"x": {0: "N", 1: "T"}, "embedding": {0: "N"}},
        network.name,
    )
    proto.producer_name, proto.producer_version = PRODUCER, __version__
    store_weights(proto, precision)
    measured = _measure(proto, graph, embedder, path, precision)
    _describe(proto, embedder, measured)
    content = proto.SerializeToString()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return SherpaSummary(path, len(content), *measured)


def _measure(
    proto: onnx.ModelProto, graph: SherpaGraph, embedder: Embedder, path: Path, precision: str
) -> tuple[Parity, float, float, float]:
    """Parity, mean and least cosine to the encoder's own vectors, and the uncorrected mean."""
    session = open_session(proto.SerializeToString(), path)
    fbank = SherpaFbank(graph.network.frontend.config.full_scale)
    uncorrected = SherpaGraph(graph.network, nn.Identity()).eval()

    def banks(waves: Sequence[Wave]) -> list[Tensor]:
        return [fbank.of_wave(torch.from_numpy(wave))[None] for wave in waves]

    def onnx_vectors(waves: Sequence[Wave]) -> Vectors:
        given = [session.run(["embedding"], {"x": each.numpy()})[0] for each in banks(waves)]
        return np.concatenate(given)

    def torch_vectors(module: SherpaGraph, waves: Sequence[Wave]) -> Vectors:
        with torch.inference_mode():
            return np.concatenate([module(each).numpy() for each in banks(waves)])

    rate = embedder.sample_rate
    least = max(LEAST_SAMPLES, embedder.network.min_samples)
    waves = parity_waves(least, rate)
    reference = partial(torch_vectors, graph)
    parity = measure_parity(reference, onnx_vectors, waves, rate)
    if precision == "int8":
        trials = ShippedTrials.of(embedder.load_audio, rate, least)
        parity = with_error_rates(parity, trials, reference, onnx_vectors)
    check_parity(parity, precision)
    own = embedder.encode(waves)
    cosines = (own * onnx_vectors(waves)).sum(1)
    plain = (own * torch_vectors(uncorrected, waves)).sum(1)
    return parity, float(cosines.mean()), float(cosines.min()), float(plain.mean())


def _describe(
    proto: onnx.ModelProto, embedder: Embedder, measured: tuple[Parity, float, float, float]
) -> None:
    """The metadata that sherpa-onnx reads, and the origin of the file."""
    _, cosine, least, _ = measured
    full_scale = embedder.network.frontend.config.full_scale
    entries = {
        "framework": "wespeaker" if full_scale == PCM_SCALE else "3d-speaker",
        "language": "unknown",
        "output_dim": embedder.embedding_dim,
        "sample_rate": embedder.sample_rate,
        "normalize_samples": 0 if full_scale == PCM_SCALE else 1,
        "comment": f"timbral {__version__}: {embedder.name} on sherpa-onnx's filter banks; cosine "
        f"to the encoder's own vectors {cosine:.3f}, at least {least:.3f}: do not "
        "compare them",
        "license": embedder.license,
        "weights_sha256": embedder.weights_identity(),
    }
    for key, value in entries.items():
        proto.metadata_props.add(key=key, value=str(value))
