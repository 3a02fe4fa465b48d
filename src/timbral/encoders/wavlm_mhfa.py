"""WavLM under multi-head factorized attentive pooling (Peng et al., An Attention-Based Backend
Allowing Efficient Fine-Tuning of Transformer Models for Speaker Verification, SLT 2022), as in the
authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass

from timbral.encoders.base import LARGEST_SIZE
from timbral.encoders.factorized_attention import FactorizedAttention
from timbral.encoders.wavlm.feature_encoder import FeatureEncoder
from timbral.encoders.wavlm.pooled_wavlm import PooledWavlm
from timbral.encoders.wavlm.transformer import WavlmTransformer
from timbral.encoders.wavlm.wavlm_config import TINY_SIZES
from timbral.encoders.wavlm.wavlm_sizes import WavlmSizes
from timbral.errors import check_ranges

__all__ = ["WavlmMhfaConfig", "WavlmMhfaEncoder"]


@dataclass(frozen=True)
class WavlmMhfaConfig(WavlmSizes):
    """Sizes of the network; the defaults are those of the authors' recipe for WavLM large.

    Its waves are not normalized, unlike those that WavLM large was pretrained on.
    """

    do_normalize: bool = False
    pooling_heads: int = 64
    """number of attention heads of the pooling"""
    compressed_channels: int = 128
    """channels of keys and values"""

    def __post_init__(self) -> None:
        sizes = ("pooling_heads", "compressed_channels")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, LARGEST_SIZE)))
        self.wavlm()  # check its own sizes


class WavlmMhfaEncoder(PooledWavlm):
    """WavLM under multi-head factorized attentive pooling (MHFA), on raw samples."""

    name = "wavlm-mhfa"
    config_type = WavlmMhfaConfig
    tiny_config = WavlmMhfaConfig(
        **TINY_SIZES,
        mask_time_prob=0.05,
        embedding_dim=16,
        pooling_heads=4,
        compressed_channels=8,
    )
    unused_in_body = ("transformer.layer_norm.",)
    longest_seconds = 20.0
    config: WavlmMhfaConfig

    def __init__(self, config: WavlmMhfaConfig) -> None:
        super().__init__(config)
        wavlm = config.wavlm()
        self.frontend = FeatureEncoder(wavlm)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 10
        self.transformer = WavlmTransformer(wavlm, normalize_last=False)
        self.pooling = FactorizedAttention(config)
