"""The base class of encoders that pool the hidden states of all layers of a WavLM."""

from __future__ import annotations

from torch import Tensor, nn

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.wavlm.transformer import WavlmTransformer

__all__ = ["PooledWavlm"]


class PooledWavlm(SpeakerEncoder):
    """A WavLM whose `pooling` takes hidden states and a mask, and returns vectors (B, E)."""

    transformer: WavlmTransformer
    pooling: nn.Module

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        return {
            "cnn": [self.frontend],
            "transformer": [self.transformer, *self.transformer.layers],
            "head": [self.pooling],
        }

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        return at_least_float32(self.pooling(self.transformer(features, mask), mask))
