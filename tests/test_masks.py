"""Turning off any one mask makes a vector depend on padding: every mask is needed.

Two kinds of mutation. Every call of `frame_mask` in a forward pass is, in its turn, answered with
"all frames are inside". And every layer that takes a mask or lengths is, in its turn, given those
of a batch without padding.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from test_encoders import CASES, make, pad
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.ecapa import PlainLinear
from timbral.encoders.eres2net_v2 import Fusion
from timbral.encoders.layers.frames import frame_mask
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.layers.time_delay import TimeDelayLayer
from timbral.encoders.redimnet.mel_blocks import SqueezeChannels

MODULES = [
    module
    for name, module in sorted(sys.modules.items())
    if name.startswith("timbral.encoders.")
    and hasattr(module, "frame_mask")
    and name != frame_mask.__module__
]
"""all that call `frame_mask`"""


@pytest.fixture(scope="module")
def clicks() -> list[np.ndarray]:
    """Noise that changes its level, and ends in a click: whatever leaks over the end shows."""
    rng = np.random.default_rng(0)
    waves = []
    for size in (9_119, 7_000):
        wave = 0.1 * rng.standard_normal(size) * np.linspace(0.2, 1.0, size) + 0.05
        wave[-40:] = 0.9
        waves.append(wave.astype(np.float32))
    return waves


@torch.no_grad()
def vectors(encoder: SpeakerEncoder, waves: list[np.ndarray]) -> Tensor:
    """Unit vectors of a batch with 2 s of padding that is not a number."""
    return functional.normalize(encoder(*pad(waves, extra=32_000, fill=torch.nan)))


def alone(encoder: SpeakerEncoder, waves: list[np.ndarray]) -> Tensor:
    return torch.cat([vectors(encoder, [wave]) for wave in waves])


def differ(first: Tensor, second: Tensor) -> bool:
    return not float((first - second).abs().max()) <= 1e-5  # what is not a number differs


@contextmanager
def masks(monkeypatch: pytest.MonkeyPatch, off: int | None) -> Iterator[list[str]]:
    """Answer the `off`-th call in each forward pass with a mask that is true everywhere."""
    calls: list[str] = []
    with monkeypatch.context() as patch:
        for module in MODULES:
            name = module.__name__.rpartition(".")[2]

            def counted(lengths: Tensor, count: int, name: str = name) -> Tensor:
                calls.append(name)
                mask = frame_mask(lengths, count)
                return torch.ones_like(mask) if len(calls) - 1 == off else mask

            patch.setattr(module, "frame_mask", counted)
        yield calls


@pytest.mark.parametrize("case", sorted(CASES))
def test_every_mask_is_needed(
    case: str, clicks: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make(case)
    expected = alone(encoder, clicks)
    with masks(monkeypatch, None) as calls:
        assert not differ(vectors(encoder, clicks), expected)
    for index, name in enumerate(calls):
        if (
            case.startswith(("lstm", "tdnn-no-mean", "w2v-bert"))
            and name == "frontends"
            and index == 1
        ):
            continue  # zeroes features after the end, which are never read, or zeroed once more
        with masks(monkeypatch, index):
            assert differ(vectors(encoder, clicks), expected), f"call {index}, in {name}"


def depends_on_mask(module: nn.Module) -> bool:
    """Whether what a layer gives depends on the mask or the lengths that it takes."""
    if isinstance(module, FrameBatchNorm | Fusion | PlainLinear | SqueezeChannels):
        return False  # batch norm's does only in training, which has a test of its own
    if isinstance(module, TimeDelayLayer):
        return module.padding > 0
    return True


ZERO_ALREADY = {"tdnn": "layers.0", "tdnn-no-mean": "layers.0", "tdnn-stride-2": "layers.0"}
ZERO_ALREADY |= dict.fromkeys(("w2v-bert-ecapa", "wavlm-ecapa"), "pooling.input")
ZERO_ALREADY |= dict.fromkeys(("ecapa-no-context", "ecapa-wespeaker"), "input")
"""layers that zero what is zero after the end already: by the front-end, or by a norm"""


def everything_inside(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments with masks true everywhere, lengths at their largest, and no attention masked."""
    changed = []
    for value in inputs:
        if not isinstance(value, Tensor):
            pass  # the maps that a stage takes
        elif value.dtype == torch.bool:
            value = torch.ones_like(value)
        elif value.dtype == torch.int64:  # what takes lengths is time-major
            value = torch.full_like(value, inputs[0].shape[1])
        elif value.ndim == 4 and value.shape[1:3] == (1, 1):
            value = torch.zeros_like(value)
        changed.append(value)
    return tuple(changed)


@pytest.mark.parametrize("case", sorted(CASES))
def test_every_layer_needs_its_mask(case: str, clicks: list[np.ndarray]) -> None:
    encoder = make(case)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            parameter.mul_(1.4)  # so that no layer of these small networks is too faint to matter
            if name.endswith("bias"):
                parameter.abs_()  # nor any ReLU dead
    names = [
        name
        for name, module in encoder.named_modules()
        if name and depends_on_mask(module) and name != ZERO_ALREADY.get(case)
    ]
    expected = alone(encoder, clicks)
    for name in taking_masks(encoder, names, clicks):

        def without_mask(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return everything_inside(inputs)

        hook = encoder.get_submodule(name).register_forward_pre_hook(without_mask)
        changed = vectors(encoder, clicks)
        hook.remove()
        assert differ(changed, expected), name


def taking_masks(
    encoder: SpeakerEncoder, names: list[str], waves: list[np.ndarray]
) -> dict[str, None]:
    """The layers that take a mask or lengths in a forward pass."""
    found: dict[str, None] = {}

    def note(name: str, inputs: tuple[Any, ...]) -> None:
        changed = everything_inside(inputs)
        if any(new is not old for new, old in zip(changed, inputs, strict=True)):
            found[name] = None

    hooks = [
        encoder.get_submodule(name).register_forward_pre_hook(
            lambda module, inputs, name=name: note(name, inputs)
        )
        for name in names
    ]
    vectors(encoder, waves)
    for hook in hooks:
        hook.remove()
    return found
