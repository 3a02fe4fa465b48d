"""WavLM under a small ECAPA-TDNN, as in UniSpeech's speaker verification (Chen et al., WavLM, 2022,
section V-C), with which papers on speech synthesis compute SIM-o.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from timbral.encoders.small_ecapa import TINY_ECAPA, SmallEcapa, SmallEcapaSizes
from timbral.encoders.wavlm.feature_encoder import FeatureEncoder
from timbral.encoders.wavlm.pooled_wavlm import PooledWavlm
from timbral.encoders.wavlm.transformer import WavlmTransformer
from timbral.encoders.wavlm.wavlm_config import TINY_SIZES
from timbral.encoders.wavlm.wavlm_sizes import WavlmSizes

__all__ = ["WavlmEcapaConfig", "WavlmEcapaEncoder"]

WAVE_EPSILON = 1e-5
"""s3prl's; transformers' WavLM uses 1e-7"""


@dataclass(frozen=True)
class WavlmEcapaConfig(SmallEcapaSizes, WavlmSizes):
    """Sizes of the network; the defaults are those of ``wavlm_large_finetune.pth``."""

    def __post_init__(self) -> None:
        self.wavlm()  # both check their own sizes
        self.ecapa()


class WavlmEcapaEncoder(PooledWavlm):
    """WavLM, its layers weighted, under a small ECAPA-TDNN: UniSpeech's, for SIM-o."""

    name = "wavlm-ecapa"
    config_type = WavlmEcapaConfig
    tiny_config = WavlmEcapaConfig(**TINY_SIZES, **TINY_ECAPA, mask_time_prob=0.05)
    longest_seconds = 30.0
    renamed: ClassVar[Mapping[str, str]] = {
        f"{layer}.": f"pooling.{layer}."
        for layer in ("layer_sum", "input", "blocks", "mfa", "asp", "asp_bn", "fc")
    }
    """until 2026-11-28, the layers of the head were attributes of the encoder itself"""
    config: WavlmEcapaConfig

    def __init__(self, config: WavlmEcapaConfig) -> None:
        super().__init__(config)
        wavlm = config.wavlm()
        self.frontend = FeatureEncoder(wavlm, WAVE_EPSILON)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 10
        self.transformer = WavlmTransformer(wavlm)
        states = config.num_hidden_layers + 1
        self.pooling = SmallEcapa(config.ecapa(), states, config.hidden_size)
