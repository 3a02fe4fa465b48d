"""Check a new encoder class: does it follow the rules for encoders, and can it be exported?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from timbral.checkpoints.user_encoders import register_encoder
from timbral.checkpoints.weights import build_encoder
from timbral.encoders.contract import ContractCheck, check_contract
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError, TimbralError, did_you_mean, first_line
from timbral.exporting.export_encoder import export
from timbral.inference.embedder import Embedder
from timbral.io.user_code import is_user_source

__all__ = ["check_encoder"]


def check_encoder(source: str, *, exported: bool = True) -> Iterator[ContractCheck]:
    """Check an encoder with the defaults of its config and random weights.

    Args:
        source: ``path.py:Class``, which is run, or a name in `ENCODERS`
        exported: also export it, which takes seconds

    Raises ConfigError if there is no such encoder, or its config has no defaults.
    """
    name = register_encoder(source) if is_user_source(source) else source
    if name not in ENCODERS:
        raise ConfigError(f"unknown encoder {name!r}{did_you_mean(name, ENCODERS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            encoder = build_encoder(ENCODERS[name].config_type())
        except TypeError as error:
            raise ConfigError(f"{source}: cannot be created without arguments ({error})") from None
    yield from check_contract(encoder)
    if exported:
        yield _check_export(Embedder(encoder.eval()))


def _check_export(embedder: Embedder) -> ContractCheck:
    with tempfile.TemporaryDirectory(prefix="timbral-check-") as folder:
        try:
            parity = export(embedder, Path(folder) / "encoder.onnx").parity
        except TimbralError as error:
            return ContractCheck("export", False, str(error))
        except Exception as error:  # torch's exporter raises many, for operations that ONNX lacks
            return ContractCheck("export", False, f"{type(error).__name__}: {first_line(error)}")
    return ContractCheck("export", True, f"largest difference to torch {parity.max_difference:.0e}")
