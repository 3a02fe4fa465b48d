"""w2v-BERT 2.0 under a pooling of its hidden states.

A frame is 20 ms: two stacked frames of the front-end. If an utterance has an odd number of these,
its last frame is incomplete: it is masked in the conformer, but the conformer's output in its place
is pooled. So it is in WeSpeaker, with which the published weights were trained.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.layers.linear import Linear
from timbral.encoders.w2v_bert.conformer import ConformerLayer
from timbral.encoders.w2v_bert.normalized_fbank import NormalizedFbank
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertSizes

__all__ = ["W2vBertBody"]

STACKED = 2
"""frames of the front-end in one of the conformer"""


class W2vBertBody(SpeakerEncoder):
    """w2v-BERT 2.0 whose `pooling` takes hidden states and a mask, and returns vectors (B, E)."""

    longest_seconds = 30.0

    def __init__(self, config: W2vBertSizes, pooling: nn.Module, embedding_dim: int) -> None:
        super().__init__(config)
        self.embedding_dim = embedding_dim
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

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        states, mask = self._hidden_states(features, frame_lengths)
        return at_least_float32(self.pooling(states, mask))

    def _hidden_states(
        self, features: Tensor, frame_lengths: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """The input of the first layer and the output of each (B, F, H), and the mask (B, F) of
        frames to pool.
        """
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
