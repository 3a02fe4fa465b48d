"""w2v-BERT 2.0 up to its hidden states.

A frame is 20 ms: two of the front-end's, side by side. Of an utterance with an odd number of them
the last one is half a frame: the conformer does not see it, yet the heads pool what the conformer
gives in its place. So it is in WeSpeaker, and so were its weights trained.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.frames import frame_mask
from timbral.encoders.layers.linear import Linear
from timbral.encoders.w2v_bert.conformer import ConformerLayer
from timbral.encoders.w2v_bert.normalized_fbank import NormalizedFbank
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertSizes

__all__ = ["W2vBertBody"]

STACKED = 2
"""frames of the front-end in one of the conformer"""


class W2vBertBody(SpeakerEncoder):
    """w2v-BERT 2.0 without a head."""

    longest_seconds = 30.0

    def __init__(self, config: W2vBertSizes, pooling: nn.Module) -> None:
        super().__init__(config)
        self.frontend = NormalizedFbank()
        self.min_samples = self.sample_rate // 10
        inputs = STACKED * self.frontend.num_features
        self.input_norm = nn.LayerNorm(inputs)
        self.projection = Linear(inputs, config.hidden_size)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.num_hidden_layers))
        self.pooling = pooling

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        front = nn.ModuleList([self.input_norm, self.projection])
        return {"conformer": [front, *self.layers], "head": [self.pooling]}

    def hidden_states(self, features: Tensor, frame_lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """States (B, F, H) before and behind each layer, and the mask (B, F) of what is pooled."""
        count = (features.shape[1] + 1) // STACKED
        features = functional.pad(features, (0, 0, 0, count * STACKED - features.shape[1]))
        stacked = features.reshape(features.shape[0], count, -1)
        mask = frame_mask(frame_lengths // STACKED, count)
        rows = self.projection(self.input_norm(stacked)) * mask[:, :, None]
        states = [rows]
        for layer in self.layers:
            rows = layer(rows, mask)
            states.append(rows)
        return states, frame_mask((frame_lengths + 1) // STACKED, count)
