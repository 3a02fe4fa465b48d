"""Adam in coordinates in which the inputs of a product are white.

The inputs of a product are correlated, and after a ReLU none has a mean of zero. Steps of one size
for all weights move the common part of the inputs a hundred times too far, and their differences
too little. With x' = T'x the white inputs (T = Q (L + d)^-1/2 of their second moments
Q L Q'), and y = W x = W' x', Adam learns W', each number of which changes y by a like amount:

    gradient of W' = G T        W changes by (change of W') T'

The step of a row is proportional to the size of its output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.conv import FrameConv, FrameConv2d

__all__ = ["WhitenedAdam", "input_rows"]

DAMPING = 1e-1
"""fraction of the inputs' mean second moment that is added to each"""
FEWEST_ROWS = 1_000
"""a convolution with fewer input rows is left to plain Adam: its moments are not known"""
MOST_ROWS = 4_000
"""rows of a batch that are used, evenly spread"""
BETAS = (0.9, 0.99)
EPSILON = 1e-10


def input_rows(module: nn.Module, inputs: Tensor) -> Tensor:
    """The inputs of a product, one row for each of its outputs."""
    if isinstance(module, FrameConv2d):
        assert isinstance(module.padding, tuple)
        frequency_first = inputs.permute(0, 3, 2, 1)  # (B, C, M, F)
        patches = functional.unfold(
            frequency_first, module.kernel_size, padding=module.padding, stride=module.stride
        )
        return patches.transpose(1, 2).flatten(0, 1)
    if isinstance(module, FrameConv):
        padding = int(module.padding[0])
        taps = module.taps(functional.pad(inputs, (0, 0, padding, padding)))
        count = module.in_channels  # weights are (C', C, taps)
        rows = taps.flatten(0, -2)
        return rows.reshape(len(rows), -1, count).transpose(1, 2).flatten(1)
    return inputs.flatten(0, -2)


@dataclass
class _Product:
    """The weight of a product, and its coordinates."""

    weight: nn.Parameter
    basis: Tensor
    """T (K, K)"""
    sizes: Tensor
    """factors of the outputs (O, 1)"""
    first: Tensor
    second: Tensor


class WhitenedAdam:
    """Adam in white coordinates for the products of a network, plain Adam for the rest."""

    def __init__(
        self, network: nn.Module, run_batches: Callable[[], None], plain_fraction: float
    ) -> None:
        """`run_batches` runs the network on examples; plain Adam gets a fraction of the rate."""
        self._products = list(_products(network, run_batches))
        taken = {id(product.weight) for product in self._products}
        rest = [p for p in network.parameters() if p.requires_grad and id(p) not in taken]
        self._plain = torch.optim.Adam(rest, betas=BETAS)
        self._plain_fraction, self._steps = plain_fraction, 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self._steps += 1
        self._plain.param_groups[0]["lr"] = rate * self._plain_fraction
        self._plain.step()
        unbias = [1 - beta**self._steps for beta in BETAS]
        for product in self._products:
            if product.weight.grad is None:
                continue
            gradient = product.weight.grad.flatten(1) @ product.basis
            product.first.lerp_(gradient, 1 - BETAS[0])
            product.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            scale = (product.second / unbias[1]).sqrt_().add_(EPSILON)
            change = (product.first / unbias[0]).div_(scale).mul_(product.sizes)
            product.weight.sub_((change @ product.basis.t()).view_as(product.weight), alpha=rate)

    def zero_grad(self) -> None:
        self._plain.zero_grad()
        for product in self._products:
            product.weight.grad = None

    def state_dict(self) -> dict[str, object]:
        products = [(p.basis, p.sizes, p.first, p.second) for p in self._products]
        return {"products": products, "plain": self._plain.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, object]) -> None:
        saved = state["products"]
        assert isinstance(saved, Iterable)
        for product, kept in zip(self._products, saved, strict=True):
            product.basis, product.sizes, product.first, product.second = kept
        plain, steps = state["plain"], state["steps"]
        assert isinstance(plain, dict)
        assert isinstance(steps, int)
        self._plain.load_state_dict(plain)
        self._steps = steps


@torch.no_grad()
def _products(network: nn.Module, run_batches: Callable[[], None]) -> Iterator[_Product]:
    moments: dict[nn.Module, tuple[Tensor, int]] = {}

    def watch(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        rows = input_rows(module, args[0])
        rows = rows[:: max(1, len(rows) // MOST_ROWS)].float()
        square, count = moments.get(module, (rows.new_zeros(()), 0))
        moments[module] = (square + rows.t() @ rows, count + len(rows))

    kinds = (FrameConv, FrameConv2d, nn.Linear)
    hooks = [
        module.register_forward_pre_hook(watch)
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    run_batches()
    for hook in hooks:
        hook.remove()
    for module, (square, count) in moments.items():
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        if count < FEWEST_ROWS and not isinstance(module, nn.Linear):
            continue
        values, vectors = torch.linalg.eigh((square / count).double())
        values = values.clamp(min=0.0)
        basis = vectors * (values + DAMPING * values.mean()).rsqrt()
        matrix = weight.flatten(1).double()
        sizes = (matrix @ (square / count).double() * matrix).sum(1, keepdim=True).sqrt()
        zeros = torch.zeros(weight.flatten(1).shape)
        yield _Product(weight, basis.float(), sizes.float(), zeros, zeros.clone())
