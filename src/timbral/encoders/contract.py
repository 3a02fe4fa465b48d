"""Test whether an encoder fulfills the contract of `SpeakerEncoder`, on noise.

The noise changes its level and ends in a click, so that leaks across an utterance's end show.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder
from timbral.errors import ConfigError, TimbralError, first_line

__all__ = ["LARGEST_LEAK", "ContractCheck", "check_contract", "refuse_broken"]

LARGEST_LEAK = 1e-5
"""largest allowed difference between components of unit vectors"""
SECONDS = (2.1, 1.3, 0.9)
"""lengths of the utterances, besides the shortest allowed one"""
PADDING_SECONDS = 2.0
SEED = 0


@dataclass(frozen=True)
class ContractCheck:
    """The result for one clause of the contract."""

    name: str
    ok: bool
    found: str
    """what was measured, or what is wrong"""


def check_contract(encoder: SpeakerEncoder) -> list[ContractCheck]:
    """Check vectors, minimum length, padding, batch mates and gradients, on a copy of the encoder.

    A clause that raises an error fails. The caller's random state is not changed.
    """
    tested = copy.deepcopy(encoder).cpu().float()
    clauses: dict[str, Callable[[SpeakerEncoder, list[Tensor]], str]] = {
        "vectors": _check_vectors,
        "minimum length": _check_minimum,
        "padding": _check_padding,
        "batch mates": _check_batch_mates,
        "gradient": _check_gradient,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        waves = list(_waves(tested))
        return [_check(name, clause, tested, waves) for name, clause in clauses.items()]


def refuse_broken(encoder: SpeakerEncoder, name: str) -> None:
    """Raise ConfigError, with the clauses that fail, if an encoder breaks the contract."""
    broken = [check for check in check_contract(encoder) if not check.ok]
    if broken:
        words = "; ".join(f"{check.name}: {check.found}" for check in broken)
        raise ConfigError(
            f"the encoder {name!r} breaks the rules for encoders ({words}); `timbral "
            "check-encoder FILE.py:CLASS` tests it"
        )


class _BrokenError(Exception):
    """A clause fails; the text says how."""


def _check(
    name: str,
    clause: Callable[[SpeakerEncoder, list[Tensor]], str],
    encoder: SpeakerEncoder,
    waves: list[Tensor],
) -> ContractCheck:
    try:
        return ContractCheck(name, True, clause(encoder, waves))
    except (_BrokenError, TimbralError) as error:
        return ContractCheck(name, False, str(error))
    except Exception as error:  # a user's code may raise anything
        return ContractCheck(name, False, f"{type(error).__name__}: {first_line(error)}")


def _waves(encoder: SpeakerEncoder) -> Iterator[Tensor]:
    """Waves (T,), the longest first, the shortest allowed length last."""
    sizes = [int(seconds * encoder.sample_rate) for seconds in SECONDS]
    for size in (*(max(size, encoder.min_samples) for size in sizes), encoder.min_samples):
        wave = 0.1 * torch.randn(size) * torch.linspace(0.2, 1.0, size) + 0.02
        wave[-40:] = 0.9
        yield wave


def _batch(waves: Sequence[Tensor], extra: int = 0) -> tuple[Tensor, Tensor]:
    """Waves as a batch (B, T), padded with NaN, and their lengths (B,)."""
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = torch.full((len(waves), int(lengths.max()) + extra), torch.nan)
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = wave
    return batch, lengths


def _vectors(encoder: SpeakerEncoder, waves: Sequence[Tensor], extra: int = 0) -> Tensor:
    """Unit vectors (B, E) in evaluation mode."""
    encoder.eval()
    with torch.no_grad():
        return functional.normalize(encoder(*_batch(waves, extra)).float(), dim=1)


def _check_vectors(encoder: SpeakerEncoder, waves: list[Tensor]) -> str:
    encoder.train()
    long = waves[0].expand(4, -1) + 0.01 * torch.randn(4, len(waves[0]))
    with torch.no_grad():  # so that running statistics differ from their initial values
        encoder(long, torch.full((4,), long.shape[1]))
    vectors = _vectors(encoder, waves[:2])
    if vectors.shape != (2, encoder.embedding_dim):
        raise _BrokenError(
            f"two utterances gave {tuple(vectors.shape)} instead of (2, {encoder.embedding_dim})"
        )
    if not torch.isfinite(vectors).all():
        raise _BrokenError("numbers that are not finite")
    if _difference(vectors[0], vectors[1]) <= LARGEST_LEAK:
        raise _BrokenError("different utterances have the same vector")
    return f"{encoder.embedding_dim} numbers"


def _check_minimum(encoder: SpeakerEncoder, waves: list[Tensor]) -> str:
    if encoder.min_samples < 1:
        raise _BrokenError(f"min_samples is {encoder.min_samples}; it must be at least 1")
    shortest = waves[-1]
    if not torch.isfinite(_vectors(encoder, [shortest])).all():
        raise _BrokenError(f"{len(shortest)} samples give numbers that are not finite")
    return f"{encoder.min_samples} samples, {encoder.min_samples / encoder.sample_rate:.3g} s"


def _check_padding(encoder: SpeakerEncoder, waves: list[Tensor]) -> str:
    extra = int(PADDING_SECONDS * encoder.sample_rate)
    return _limited(
        max(_difference(_vectors(encoder, [w]), _vectors(encoder, [w], extra)) for w in waves),
        f"{PADDING_SECONDS:g} s of padding",
    )


def _check_batch_mates(encoder: SpeakerEncoder, waves: list[Tensor]) -> str:
    alone = torch.cat([_vectors(encoder, [wave]) for wave in waves])
    backward = _vectors(encoder, waves[::-1]).flip(0)
    worst = max(_difference(alone, _vectors(encoder, waves)), _difference(alone, backward))
    return _limited(worst, "batch mates")


def _check_gradient(encoder: SpeakerEncoder, waves: list[Tensor]) -> str:
    encoder.train()
    encoder.zero_grad()
    vectors = encoder(*_batch(waves[:3]))
    (vectors * torch.randn_like(vectors)).sum().backward()
    for name, parameter in encoder.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            raise _BrokenError(f"does not reach {name}")
        if not torch.isfinite(parameter.grad).all():
            raise _BrokenError(f"of {name} is not finite where utterances are padded")
    return f"reaches all {sum(1 for _ in encoder.parameters())} tensors"


def _difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())


def _limited(worst: float, cause: str) -> str:
    """The result for a difference between unit vectors; fails if it is too large, or NaN."""
    if not worst <= LARGEST_LEAK:
        raise _BrokenError(f"{cause} change unit vectors by {worst:.0e}; allowed {LARGEST_LEAK:g}")
    return f"{cause} change unit vectors by {worst:.0e}"
