"""How large CAM++'s numbers become, seen on shipped voices when the network is folded."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from timbral.audio.preprocessing import load
from timbral.encoders.campplus import CampplusEncoder, FrontConvolutions, ResidualBlock
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.inference.optimized.byte_products import LARGEST_CODE, Code
from timbral.inference.shipped_voices import VOICES

__all__ = ["Ranges", "Seen"]

EVERY = 40
"""of the shipped recordings: 17, each of another voice"""
SECONDS = 4.0
"""of each, at most"""
HEADROOM = 1.3
"""what other recordings may have more"""


class Seen:
    """Of a tensor (..., C), of each channel: least and largest number; of those over zero, and of
    zero instead of the others, how many and the mean."""

    def __init__(self, channels: int) -> None:
        self.low = torch.full((channels,), math.inf, dtype=torch.float64)
        self.high = -self.low
        self._sums = torch.zeros(channels, dtype=torch.float64)
        self._positive = torch.zeros(channels, dtype=torch.float64)
        self._rows = 0

    def see(self, numbers: Tensor) -> None:
        rows = numbers.flatten(0, -2)
        low, high = rows.aminmax(dim=0)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self._sums += rows.relu().sum(0)
        self._positive += (rows > 0).sum(0)
        self._rows += len(rows)

    @property
    def mean(self) -> Tensor:
        return self._sums / self._rows

    @property
    def active(self) -> Tensor:
        return self._positive / self._rows


class Ranges:
    """What comes out of layers of an encoder, and goes into its front and into the last norm of
    each dense block, for weights as they are now.

    Of its two-dimensional layers the least and largest number are seen, and nothing of channels.
    """

    def __init__(self, encoder: CampplusEncoder) -> None:
        self.inputs: dict[nn.Module, Seen] = {}
        self.outputs: dict[nn.Module, Seen] = {}
        self._entered = {encoder.front, *(block.get_submodule("norm") for block in encoder.blocks)}
        kinds = (FrameBatchNorm, ResidualBlock, FrontConvolutions)
        layers = [each for each in encoder.modules() if isinstance(each, kinds)]
        hooks = [layer.register_forward_hook(self._see) for layer in layers]
        try:
            with torch.autocast("cpu", enabled=False):
                for path in sorted(VOICES.glob("*/*.ogg"))[::EVERY]:
                    wave = load(path, sample_rate=encoder.sample_rate)
                    wave = wave[: int(SECONDS * encoder.sample_rate)]
                    encoder(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        finally:
            for hook in hooks:
                hook.remove()

    def _see(self, layer: nn.Module, given: tuple[Tensor, ...], outputs: Tensor) -> None:
        in_front = outputs.dim() == 4 or isinstance(layer, FrontConvolutions)
        looked_at = [(self.outputs, outputs)]
        if layer in self._entered:
            looked_at.append((self.inputs, given[0]))
        for seen, numbers in looked_at:
            if in_front:
                numbers = torch.stack(numbers.aminmax()).view(2, 1)
            seen.setdefault(layer, Seen(numbers.shape[-1])).see(numbers)

    def code_behind(self, layer: nn.Module) -> Code:
        """For what comes out of a layer and a ReLU."""
        return _code(0.0, float(self.outputs[layer].high.max()))

    def code_of_inputs(self, layer: nn.Module) -> Code:
        seen = self.inputs[layer]
        return _code(float(seen.low.min()), float(seen.high.max()))

    def code_of_outputs(self, layer: nn.Module) -> Code:
        seen = self.outputs[layer]
        return _code(float(seen.low.min()), float(seen.high.max()))


def _code(low: float, high: float) -> Code:
    low, high = HEADROOM * min(low, 0.0), HEADROOM * max(high, 0.0)
    if not 0 < high - low < math.inf:
        return Code(1.0)
    step = (high - low) / LARGEST_CODE
    return Code(step, round(-low / step))
