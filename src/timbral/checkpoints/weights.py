"""Tensors of a checkpoint as the weights of an encoder, and as the state of an optimizer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from timbral.checkpoints.allocation import AllocationLimit
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.packed_weights import unpack
from timbral.checkpoints.undrawn_weights import UndrawnWeights
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError

__all__ = [
    "build_encoder",
    "count_numbers",
    "hash_weights",
    "load_network",
    "load_optimizer",
    "load_strictly",
    "load_weights",
    "read_tensors",
    "with_prefix",
]


ADAM_KEYS = frozenset({"step", "exp_avg", "exp_avg_sq"})
"""Adam's state for each parameter"""
NOT_STORED_NUMBERS = 20_000_000
"""numbers that an encoder may have besides its stored weights: filters, a newly initialized head"""


def hash_weights(network: nn.Module) -> str:
    """SHA-256 of the names and current values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        flat = tensor.detach().cpu().reshape(-1).contiguous()
        digest.update(name.encode() + flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def build_encoder(config: object, stored_numbers: int | None = None) -> SpeakerEncoder:
    """The encoder of a config such as LstmConfig, newly initialized from torch's random state.

    `stored_numbers` is the number of values in the file of its weights; a network that would need
    far more is refused before it is allocated. Raises ConfigError for anything but an encoder's
    config, and for impossible sizes.
    """
    limit = (
        nullcontext()
        if stored_numbers is None
        else AllocationLimit(2 * stored_numbers + NOT_STORED_NUMBERS)
    )
    for encoder in ENCODERS.values():
        if encoder.config_type is type(config):
            try:
                with limit:
                    return encoder(config)
            except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
                raise ConfigError(f"{config} cannot be built: {error}") from error
    known = ", ".join(sorted(encoder.config_type.__name__ for encoder in ENCODERS.values()))
    raise ConfigError(
        f"the config of an encoder is needed, got {type(config).__name__}; allowed: {known}"
    )


def load_network(checkpoint: Checkpoint) -> SpeakerEncoder:
    """The encoder of a checkpoint, in evaluation mode on the CPU.

    Its weights are the exponential moving average, if one was kept. Raises CheckpointError if they
    cannot be read or do not fit.
    """
    try:
        numbers = count_numbers(checkpoint.weights_path)
        with torch.random.fork_rng(devices=[]), UndrawnWeights():
            encoder = build_encoder(checkpoint.config.encoder, numbers)
    except ConfigError as error:
        raise CheckpointError(f"{checkpoint.folder}: {error}") from error
    load_weights(encoder, checkpoint, all_stored=True)
    return encoder.eval()


def load_weights(
    encoder: SpeakerEncoder, checkpoint: Checkpoint, *, all_stored: bool = False
) -> None:
    """Load a checkpoint's weights into `encoder`; CheckpointError if they do not fit.

    Where the checkpoint's weights are random, the encoder keeps its own, and also its low-rank
    updates. So a checkpoint with a random head serves as the body of an encoder with another head.
    With `all_stored` it keeps nothing: the checkpoint must contain every weight, like that of the
    same encoder.
    """
    path = checkpoint.weights_path
    tensors = unpack(read_tensors(path), path)
    tensors = with_prefix(tensors, "average") or with_prefix(tensors, "encoder")
    tensors = _with_new_names(encoder, tensors)
    own = encoder.state_dict()
    random = () if all_stored else checkpoint.uninitialized_prefixes
    if random:
        unused = (*random, *encoder.unused_in_body)
        tensors = {k: each for k, each in tensors.items() if k in own or not k.startswith(unused)}
        random = (*random, *_head_prefixes(encoder))
    for key, current in own.items():
        without_lora = key.replace(".base_layer.", ".")  # peft's name of updated layers
        if without_lora != key and without_lora in tensors:
            tensors[key] = tensors.pop(without_lora)
            continue
        is_new_update = not all_stored and ".lora_" in key and key not in tensors
        if is_new_update or key.startswith(random):
            tensors[key] = current
    load_strictly(encoder, tensors, path)
    checkpoint.check_weights()  # last, because an error about the name is clearer


def _head_prefixes(encoder: SpeakerEncoder) -> list[str]:
    """Prefixes of names of tensors in the layers of the group `head`."""
    head = encoder.layer_groups().get("head", [])
    named = encoder.named_modules()
    return [f"{name}." for name, module in named if any(module is each for each in head)]


def _with_new_names(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file from an older version, under their current names."""
    return {_new_name(module, name): tensor for name, tensor in tensors.items()}


def _new_name(module: nn.Module, name: str) -> str:
    renamed = module.renamed if isinstance(module, SpeakerEncoder) else {}
    matches = ((old, new) for old, new in renamed.items() if name.startswith(old))
    return next((new + name.removeprefix(old) for old, new in matches), name)


def load_optimizer(
    checkpoint: Checkpoint,
    optimizer: torch.optim.Optimizer,
    modules: Mapping[str, nn.Module],
    except_modules: Collection[str] = (),
) -> None:
    """Load the checkpoint's state into the optimizer, but not for `except_modules`.

    Parameters that were not trained there, such as frozen ones, start without a state. Raises
    CheckpointError for tensors that do not fit their parameter or are not finite.
    """
    parameters = {
        f"{prefix}.{name}": parameter
        for prefix, module in modules.items()
        if prefix not in except_modules
        for name, parameter in module.named_parameters()
    }
    learning = {p for group in optimizer.param_groups for p in group["params"]}
    optimizer.state.clear()
    for full_name, tensor in read_tensors(checkpoint.optimizer_path).items():
        name, _, key = full_name.rpartition(":")
        prefix, _, own_name = name.partition(".")
        if prefix in modules:
            name = f"{prefix}.{_new_name(modules[prefix], own_name)}"
        parameter = parameters.get(name)
        if parameter is not None and parameter in learning:
            size = torch.Size() if key == "step" else parameter.shape
            if not _is_state(key, tensor, size):
                raise CheckpointError(
                    f"{checkpoint.optimizer_path}: {full_name} is not a state of the optimizer"
                )
            # Adam keeps its step count on the CPU
            value = tensor if key == "step" else tensor.to(parameter.device)
            optimizer.state[parameter][key] = value
    for state in optimizer.state.values():
        if missing := ADAM_KEYS.difference(state):
            raise CheckpointError(
                f"{checkpoint.optimizer_path}: a parameter lacks {', '.join(sorted(missing))}"
            )


def _is_state(key: str, tensor: Tensor, size: torch.Size) -> bool:
    """Whether a tensor can be Adam's state: a mean of gradients or of their squares, or a count."""
    if key not in ADAM_KEYS or not tensor.is_floating_point() or tensor.shape != size:
        return False
    return bool(tensor.isfinite().all()) and (key == "exp_avg" or bool((tensor >= 0).all()))


def count_numbers(path: Path) -> int:
    """Number of values in a safetensors file; CheckpointError if it is missing or broken."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors ({error})") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; CheckpointError if it is missing or broken."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors ({error})") from None
    return tensors


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one module of a checkpoint, under the module's own names."""
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Load every tensor into `module`; CheckpointError names the first ones that do not fit.

    Names, shapes and kinds of number must be the module's, and every number finite; the
    precision may differ.
    """
    tensors = _with_new_names(module, tensors)
    expected_tensors = module.state_dict()
    problems = [f"{key} is missing" for key in expected_tensors if key not in tensors]
    problems += [
        f"{key} is not a tensor of the model" for key in tensors if key not in expected_tensors
    ]
    for key, expected in expected_tensors.items():
        if key in tensors and (problem := _misfit(tensors[key], expected)):
            problems.append(f"{key} {problem}")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"{source}: these weights do not fit this {type(module).__name__}: "
            f"{'; '.join(problems[:3])}{more}"
        )
    for key, tensor in tensors.items():
        if not _is_finite(tensor):
            raise CheckpointError(f"{source}: {key} contains numbers that are not finite")
    module.load_state_dict(tensors)


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite, without a copy: by minimum and maximum, NaN if any is NaN."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.element_size() == 1:  # torch cannot compare numbers of 8 bits
        tensor = tensor.float()
    return all(math.isfinite(float(each)) for each in tensor.aminmax())


def _misfit(tensor: Tensor, expected: Tensor) -> str:
    if tensor.shape != expected.shape:
        return f"has shape {tuple(tensor.shape)}, the model has {tuple(expected.shape)}"
    if tensor.is_floating_point() != expected.is_floating_point():
        return f"contains {tensor.dtype}, the model {expected.dtype}"
    return ""
