"""WavLM's transformer: attention with gated relative positions, which padding does not affect."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.attention import attention_padding, split_heads
from timbral.encoders.layers.frames import at_least_float32
from timbral.encoders.layers.linear import Linear
from timbral.encoders.wavlm.wavlm_config import WavlmConfig

__all__ = ["WavlmTransformer"]

NORM_EPSILON = 1e-5


class Attention(nn.Module):
    """Section 3.2: self-attention with relative positions that are gated by the frame's content."""

    def __init__(self, config: WavlmConfig) -> None:
        super().__init__()
        size, self.heads = config.hidden_size, config.num_attention_heads
        self.dropout = config.attention_dropout
        self.q_proj = Linear(size, size)
        self.k_proj = Linear(size, size)
        self.v_proj = Linear(size, size)
        self.out_proj = Linear(size, size)
        self.gru_rel_pos_const = nn.Parameter(torch.ones(self.heads))
        self.gru_rel_pos_linear = Linear(size // self.heads, 8)

    def forward(self, frames: Tensor, position_bias: Tensor, padding: Tensor) -> Tensor:
        """`position_bias` (heads, F, F); `padding` (B, 1, 1, F) is -inf after an utterance's
        end.
        """
        by_head = split_heads(frames, self.heads)
        logits = self.gru_rel_pos_linear(by_head)  # (B, heads, F, 8)
        logits = at_least_float32(logits.view(*logits.shape[:3], 2, 4)).sum(4)
        update, reset = torch.sigmoid(logits).unbind(3)  # (B, heads, F)
        gate = update * (reset * self.gru_rel_pos_const[:, None] - 1.0) + 2.0
        bias = gate[..., None] * position_bias + padding
        projections = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (
            split_heads(projection(frames), self.heads) for projection in projections
        )
        attended = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=bias.to(query.dtype),
            dropout_p=self.dropout if self.training else 0.0,
        )
        outputs: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return outputs


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network, both residual, with layer norms."""

    def __init__(self, config: WavlmConfig) -> None:
        super().__init__()
        self.norm_first = config.do_stable_layer_norm
        size = config.hidden_size
        self.attention = Attention(config)
        self.layer_norm = nn.LayerNorm(size, eps=NORM_EPSILON)
        self.intermediate_dense = Linear(size, config.intermediate_size)
        self.output_dense = Linear(config.intermediate_size, size)
        self.final_layer_norm = nn.LayerNorm(size, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, frames: Tensor, position_bias: Tensor, padding: Tensor) -> Tensor:
        if self.norm_first:
            attended = self.attention(self.layer_norm(frames), position_bias, padding)
            frames = frames + self.dropout(attended)
            return frames + self._feed_forward(self.final_layer_norm(frames))
        attended = self.attention(frames, position_bias, padding)
        frames = self.layer_norm(frames + self.dropout(attended))
        outputs: Tensor = self.final_layer_norm(frames + self._feed_forward(frames))
        return outputs

    def _feed_forward(self, frames: Tensor) -> Tensor:
        hidden = functional.gelu(self.intermediate_dense(frames))
        outputs: Tensor = self.dropout(self.output_dense(hidden))
        return outputs


class WavlmTransformer(nn.Module):
    """Features (B, F, C), mask (B, F) -> hidden states (B, F, H): the input of the first layer and
    the output of each.
    """

    def __init__(self, config: WavlmConfig, *, normalize_last: bool = True) -> None:
        """`normalize_last`: whether the last state is normalized if the layers normalize their
        inputs (`do_stable_layer_norm`).
        """
        super().__init__()
        self.config = config
        inputs, size = config.conv_dim[-1], config.hidden_size
        kernel = config.num_conv_pos_embeddings
        self.input_norm = nn.LayerNorm(inputs, eps=NORM_EPSILON)
        self.projection = Linear(inputs, size)
        self.masked_spec_embed = nn.Parameter(torch.empty(size).uniform_())
        # 128 taps in 16 groups: one matrix product (FrameConv) would be 16 times the work
        self.pos_conv_embed = nn.Conv1d(
            size,
            size,
            kernel,
            padding=kernel // 2,
            groups=config.num_conv_pos_embedding_groups,
        )
        self.layer_norm: nn.LayerNorm | None = None
        if normalize_last or not config.do_stable_layer_norm:
            self.layer_norm = nn.LayerNorm(size, eps=NORM_EPSILON)
        self.rel_attn_embed = nn.Embedding(config.num_buckets, config.num_attention_heads)
        self.layers = nn.ModuleList(
            TransformerLayer(config) for _ in range(config.num_hidden_layers)
        )
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, features: Tensor, mask: Tensor) -> list[Tensor]:
        frames = self.dropout(self.projection(self.input_norm(features)))
        if self.training and self.config.mask_time_prob:
            masked = self._spans_to_mask(mask)[:, :, None]
            frames = torch.where(masked, self.masked_spec_embed.to(frames.dtype), frames)
        # zeros after each end, like the padding of the positional convolution
        frames = frames * mask[:, :, None]
        frames = frames + self._positions(frames)
        if self.layer_norm is not None and not self.config.do_stable_layer_norm:
            frames = self.layer_norm(frames)
        frames = self.dropout(frames)
        buckets = self._buckets(mask.shape[1], mask.device)
        position_bias = self.rel_attn_embed(buckets).permute(2, 0, 1)
        padding = attention_padding(mask)
        states = [frames]
        for index, layer in enumerate(self.layers):
            if not self._dropped(index):
                frames = layer(frames, position_bias, padding)
            states.append(frames)
        if self.layer_norm is not None and self.config.do_stable_layer_norm:
            states[-1] = self.layer_norm(frames)
        return states

    def _dropped(self, index: int) -> bool:
        """Whether to skip a layer in this training step (Fan et al., LayerDrop, 2020)."""
        if not (self.training and index and self.config.layerdrop):
            return False
        return bool(torch.rand(()) < self.config.layerdrop)

    def _spans_to_mask(self, mask: Tensor) -> Tensor:
        """Frames to mask in training, (B, F): spans at random positions, which may overlap.

        As in transformers (Baevski et al., wav2vec 2.0, 2020, section 3.1, with as many spans as
        cover about `mask_time_prob` of the frames).
        """
        prob, length = self.config.mask_time_prob, self.config.mask_time_length
        masked = torch.zeros_like(mask)
        steps = torch.arange(length, device=mask.device)
        for row, frames in enumerate(mask.sum(1).tolist()):
            # rounded up with the probability of the fraction, so that the mean is exact
            count = int(prob * frames / length + torch.rand(()).item())
            count = min(max(count, self.config.mask_time_min_masks), frames // length)
            starts = torch.randperm(max(frames - length + 1, 0))[:count]
            masked[row, (starts.to(mask.device)[:, None] + steps).flatten()] = True
        return masked

    def _positions(self, frames: Tensor) -> Tensor:
        count = frames.shape[1]
        convolved = self.pos_conv_embed(frames.transpose(1, 2))
        # an even kernel gives one frame more
        return functional.gelu(convolved[:, :, :count]).transpose(1, 2)

    def _buckets(self, count: int, device: torch.device) -> Tensor:
        """Bucket of each relative position (F, F): exact for near ones, logarithmic for far ones.

        With num_buckets 8 and a key `distance` frames before the query (after it: 4 more):

            distance    0  1  2 … about sqrt(2 × max_bucket_distance) …
            bucket      0  1  2 …                2                    3
        """
        times = torch.arange(count, device=device)
        distance = times[None, :] - times[:, None]
        side = self.config.num_buckets // 2
        exact = side // 2
        span = math.log(self.config.max_bucket_distance / exact)
        far = torch.log(distance.abs().clamp(min=1).float() / exact) / span * (side - exact)
        far = (exact + far).long().clamp(max=side - 1)
        near = torch.where(distance.abs() < exact, distance.abs(), far)
        return near + side * (distance > 0)
