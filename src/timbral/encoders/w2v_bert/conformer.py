"""w2v-BERT's conformer (Gulati et al., Conformer, 2020), whose convolutions see only frames before.

Rows (B, F, C); a mask (B, F) tells those inside. What comes out behind an utterance's end is not
read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.linear import Linear
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertSizes

__all__ = ["ConformerLayer"]


class FeedForward(nn.Module):
    """Two products, and SiLU between them."""

    def __init__(self, config: W2vBertSizes) -> None:
        super().__init__()
        self.intermediate_dense = Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.output_dense(functional.silu(self.intermediate_dense(rows)))
        return outputs


class KeyDistanceAttention(nn.Module):
    """Self-attention with a learned key for each distance, of which far ones share the last (Shaw
    et al., Self-Attention with Relative Position Representations, 2018)."""

    def __init__(self, config: W2vBertSizes) -> None:
        super().__init__()
        size, self.heads = config.hidden_size, config.num_attention_heads
        self.left, self.right = config.left_positions, config.right_positions
        self.linear_q = Linear(size, size)
        self.linear_k = Linear(size, size)
        self.linear_v = Linear(size, size)
        self.linear_out = Linear(size, size)
        self.distance_embedding = nn.Embedding(self.left + self.right + 1, size // self.heads)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        projections = (self.linear_q, self.linear_k, self.linear_v)
        query, key, value = (self._by_head(projection(rows)) for projection in projections)
        padding = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)
        bias = self._position_bias(query) + padding[:, None, None].to(query.dtype)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        outputs: Tensor = self.linear_out(attended.transpose(1, 2).flatten(2))
        return outputs

    def _position_bias(self, query: Tensor) -> Tensor:  # (B, heads, F, C) -> (B, heads, F, F)
        by_distance = query @ self.distance_embedding.weight.to(query.dtype).T
        times = torch.arange(query.shape[2], device=query.device)
        distance = (times[None, :] - times[:, None]).clamp(-self.left, self.right) + self.left
        index = distance.expand(*query.shape[:2], -1, -1)
        bias: Tensor = by_distance.gather(3, index) * query.shape[3] ** -0.5
        return bias

    def _by_head(self, rows: Tensor) -> Tensor:  # (B, F, H) -> (B, heads, F, H / heads)
        return rows.reshape(*rows.shape[:2], self.heads, -1).transpose(1, 2)


class CausalConvolution(nn.Module):
    """A gated product, a depthwise convolution over frames before, a product."""

    def __init__(self, config: W2vBertSizes) -> None:
        super().__init__()
        size = config.hidden_size
        self.layer_norm = nn.LayerNorm(size)
        self.pointwise_conv1 = Linear(size, 2 * size, bias=False)
        self.depthwise_conv = nn.Conv1d(size, size, config.conv_kernel, groups=size, bias=False)
        self.depthwise_layer_norm = nn.LayerNorm(size)
        self.pointwise_conv2 = Linear(size, size, bias=False)
        self.before = config.conv_kernel - 1

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        gated = functional.glu(self.pointwise_conv1(self.layer_norm(rows) * mask[:, :, None]))
        padded = functional.pad(gated.transpose(1, 2), (self.before, 0))
        convolved = self.depthwise_layer_norm(self.depthwise_conv(padded).transpose(1, 2))
        outputs: Tensor = self.pointwise_conv2(functional.silu(convolved))
        return outputs


class ConformerLayer(nn.Module):
    """Half a feed-forward network, attention, convolution, the other half; each added."""

    def __init__(self, config: W2vBertSizes) -> None:
        super().__init__()
        size = config.hidden_size
        self.ffn1_layer_norm = nn.LayerNorm(size)
        self.ffn1 = FeedForward(config)
        self.self_attn_layer_norm = nn.LayerNorm(size)
        self.self_attn = KeyDistanceAttention(config)
        self.conv_module = CausalConvolution(config)
        self.ffn2_layer_norm = nn.LayerNorm(size)
        self.ffn2 = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(size)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        rows = rows + 0.5 * self.ffn1(self.ffn1_layer_norm(rows))
        rows = rows + self.self_attn(self.self_attn_layer_norm(rows), mask)
        rows = rows + self.conv_module(rows, mask)
        rows = rows + 0.5 * self.ffn2(self.ffn2_layer_norm(rows))
        outputs: Tensor = self.final_layer_norm(rows)
        return outputs
