"""w2v-BERT's conformer (Gulati et al., Conformer, 2020), with causal convolutions.

Rows (B, F, C) with a mask (B, F), true inside. Outputs after an utterance's end are undefined and
not used.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.attention import attention_padding, split_heads
from timbral.encoders.layers.linear import Linear
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertSizes

__all__ = ["ConformerLayer"]


class FeedForward(nn.Module):
    """Two linear layers with SiLU between them."""

    def __init__(self, config: W2vBertSizes) -> None:
        super().__init__()
        self.intermediate_dense = Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.output_dense(functional.silu(self.intermediate_dense(rows)))
        return outputs


class KeyDistanceAttention(nn.Module):
    """Self-attention with a learned key for each relative position, clipped to the farthest (Shaw
    et al., Self-Attention with Relative Position Representations, 2018).
    """

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
        query, key, value = (
            split_heads(projection(rows), self.heads) for projection in projections
        )
        bias = self._position_bias(query) + attention_padding(mask).to(query.dtype)
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


class CausalConvolution(nn.Module):
    """A gated linear unit, a causal depthwise convolution and a linear layer."""

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
    """Half a feed-forward network, attention, convolution and the other half, each residual."""

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
