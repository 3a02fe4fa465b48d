"""ReDimNet's layers over time, after a stage's blocks: rows (B, F, C) with a mask (B, F)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.attention import attention_padding, split_heads
from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.redimnet.redimnet_config import ATTENTION_HEADS

__all__ = ["NORM_EPSILON", "TimeContext"]

NORM_EPSILON = 1e-6
"""epsilon of all layer norms"""
KERNELS = (7, 19, 31, 59)
"""kernel sizes of the convolutions before the attention"""
POSITION_KERNEL = 59
"""kernel size of the convolution that encodes positions if there are no others"""


class DepthwiseConv(nn.Conv1d):
    """A depthwise convolution over time, padded with zeros at each utterance's ends."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward((rows * mask[:, :, None]).transpose(1, 2)).transpose(1, 2)


class TimeConvnext(nn.Module):
    """Depthwise convolution, batch norm, GELU and a product, added to the input."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = DepthwiseConv(channels, kernel)
        self.norm = FrameBatchNorm(channels)
        self.product = Linear(channels, channels)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        out = functional.gelu(self.norm(self.conv(rows, mask), mask))
        summed: Tensor = rows + self.product(out)
        return summed


class Positions(nn.Module):
    """Depthwise convolution and layer norm, added to the input."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = DepthwiseConv(channels, kernel)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        summed: Tensor = rows + self.norm(self.conv(rows, mask))
        return summed


class Attention(nn.Module):
    """Self-attention with four heads over an utterance's own frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q_proj = Linear(channels, channels)
        self.k_proj = Linear(channels, channels)
        self.v_proj = Linear(channels, channels)
        self.out_proj = Linear(channels, channels)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (
            split_heads(projection(rows), ATTENTION_HEADS) for projection in projections
        )
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_padding(mask).to(query.dtype)
        )
        outputs: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return outputs


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network, each added to its input, and normalized."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(channels)
        self.attention_norm = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.hidden = Linear(channels, hidden)
        self.output = Linear(hidden, channels)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        rows = self.attention_norm(rows + self.attention(rows, mask))
        hidden = functional.gelu(self.hidden(rows), approximate="tanh")
        outputs: Tensor = self.norm(rows + self.output(hidden))
        return outputs


class TimeContext(nn.Module):
    """Reduction to fewer channels, layers over time, and expansion; added to the input."""

    def __init__(self, size: int, channels: int, kind: str) -> None:
        super().__init__()
        self.reduction = Linear(size, channels)
        self.reduction_norm = nn.LayerNorm(channels, eps=NORM_EPSILON)
        convs: list[nn.Module] = [Positions(channels, POSITION_KERNEL)]
        if kind == "conv+att":
            convs = [TimeConvnext(channels, kernel) for kernel in KERNELS]
        hidden = channels if kind == "conv+att" else 2 * channels
        self.layers = nn.ModuleList([*convs, TransformerLayer(channels, hidden)])
        self.expansion = Linear(channels, size)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        inner = self.reduction_norm(self.reduction(rows))
        for layer in self.layers:
            inner = layer(inner, mask)
        summed: Tensor = rows + self.expansion(inner)
        return summed
