"""The catalog of architectures and published weights, which needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.checkpoints.cached_weights import is_downloaded
from timbral.checkpoints.known_names import OWN_ENCODERS
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weight_sources import Shipped
from timbral.checkpoints.weights_of_others import WeightsOfOthers, weights_of_others

__all__ = ["ARCHITECTURES", "SIZES", "ModelInfo", "models"]


@dataclass(frozen=True)
class ModelInfo:
    """One encoder: an architecture at its default size, or published weights."""

    name: str
    description: str
    embedding_dim: int
    parameters: int
    sample_rate: int
    source: str = ""
    """where published weights come from; empty for an architecture"""
    license: str = ""
    """license of published weights; empty for an architecture"""
    downloaded: bool = False
    """whether published weights are ready to use on this machine"""
    is_shipped: bool = False
    """whether they come with timbral"""
    extra: str = ""
    """extra that must be installed to download them: ``timbral[extra]``"""
    weights_of_others: tuple[WeightsOfOthers, ...] = ()
    """for an architecture: weights of other projects that `convert` reads, with their licenses"""


ARCHITECTURES = {
    "campplus": (
        "CAM++: densely connected TDNN with context-aware masking, on 80 Kaldi filter banks"
    ),
    "campplus-small": ("CAM++ with few layers, every 20 and 40 ms, on 80 Kaldi filter banks"),
    "ecapa": "ECAPA-TDNN of SpeechBrain, on 80 mel filter banks in decibel, or of WeSpeaker",
    "eres2net-v2": "ERes2NetV2 of 3D-Speaker, on 80 Kaldi filter banks",
    "lstm": "Last output of a unidirectional LSTM, linear, ReLU, unit length",
    "redimnet": "ReDimNet or ReDimNet2, with maps processed over (mel, time) and time in turn",
    "resnet": "ResNet of WeSpeaker with temporal statistics pooling, on 80 Kaldi filter banks",
    "tdnn": "Five time-delay layers, mean and standard deviation, linear",
    "w2v-bert": (
        "w2v-BERT 2.0 with an adapter for each layer and attentive pooling, on 80 filter banks"
    ),
    "w2v-bert-ecapa": (
        "w2v-BERT 2.0, its layers weighted, under a small ECAPA-TDNN, on 80 filter banks"
    ),
    "w2v-bert-mhfa": (
        "w2v-BERT 2.0 under multi-head factorized attentive pooling (MHFA), on 80 filter banks"
    ),
    "wavlm": "WavLM with an x-vector head, on raw samples, with frames of 20 ms",
    "wavlm-ecapa": "WavLM, its layers weighted, under a small ECAPA-TDNN: UniSpeech's, for SIM-o",
    "wavlm-mhfa": "WavLM under multi-head factorized attentive pooling (MHFA), on raw samples",
}
"""encoders of timbral, described as in their classes"""

SIZES = {
    "campplus": (192, 6_848_544, 16_000),
    "campplus-small": (192, 2_648_640, 16_000),
    "ecapa": (192, 20_767_552, 16_000),
    "eres2net-v2": (192, 17_859_632, 16_000),
    "lstm": (256, 1_423_616, 16_000),
    "redimnet": (192, 4_204_040, 16_000),
    "resnet": (256, 6_634_336, 16_000),
    "tdnn": (192, 1_061_312, 16_000),
    "w2v-bert": (256, 586_652_736, 16_000),
    "w2v-bert-ecapa": (256, 588_902_937, 16_000),
    "w2v-bert-mhfa": (256, 582_860_210, 16_000),
    "wavlm": (512, 100_229_337, 16_000),
    "wavlm-ecapa": (256, 323_863_833, 16_000),
    "wavlm-mhfa": (256, 317_819_058, 16_000),
    "campplus-int8": (192, 6_848_544, 16_000),
    "timbral-small": (192, 2_648_640, 16_000),
    "ge2e-lstm": (256, 1_423_616, 16_000),
    "campplus-zh-en": (192, 6_848_544, 16_000),
    "resnet34-voxceleb": (256, 6_634_336, 16_000),
    "wavlm-base": (512, 100_229_324, 16_000),
    "wavlm-base-plus": (512, 100_229_324, 16_000),
    "wavlm-large": (512, 321_431_580, 16_000),
    "wavlm-base-sv": (512, 100_229_337, 16_000),
    "wavlm-base-plus-sv": (512, 100_229_337, 16_000),
    "wavlm-sim-o": (256, 323_863_833, 16_000),
}
"""embedding dimension, number of parameters and sample rate (Hz) by name, so that a list of
encoders is printed at once: building the networks to count them takes seconds"""


def models() -> list[ModelInfo]:
    """Architectures to train, at their default sizes, then published weights."""
    rows = [
        ModelInfo(name, text, *SIZES[name], weights_of_others=weights_of_others(name))
        for name, text in ARCHITECTURES.items()
    ]
    rows += _own_encoders()
    for name, entry in PUBLISHED.items():
        row = ModelInfo(
            name,
            entry.description,
            *SIZES[name],
            source=str(entry.source),
            license=entry.license,
            downloaded=is_downloaded(name),
            is_shipped=isinstance(entry.source, Shipped),
            extra=entry.extra,
        )
        rows.append(row)
    return rows


def _own_encoders() -> list[ModelInfo]:
    """Registered classes of the user; torch is imported only if there are any."""
    if not OWN_ENCODERS:
        return []
    from timbral.checkpoints.encoder_sizes import count_sizes, describe
    from timbral.encoders.registry import ENCODERS

    own = {name: ENCODERS[name] for name in OWN_ENCODERS if name in ENCODERS}
    return [
        ModelInfo(name, describe(encoder), *count_sizes(encoder.config_type()))
        for name, encoder in own.items()
    ]
