"""What the verbs share: exit codes, common arguments, the line about failures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = [
    "INTERRUPTED",
    "OK",
    "SOME_FAILED",
    "USAGE",
    "Device",
    "Encoder",
    "Running",
    "RunningOptions",
    "count_failures",
    "load_embedder",
]

OK, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

Encoder = Annotated[
    Positional[str],
    arg(
        metavar="ENCODER",
        help="a name of `timbral models`, a run folder, a checkpoint folder, or weights of another "
        "project",
    ),
]
Device = Annotated[str, arg(metavar="DEVICE", help="auto, cpu, cuda or cuda:N")]


@dataclass(frozen=True)
class RunningOptions:
    """How an encoder is found and run."""

    device: Device = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 is faster where the processor computes in it; cosine to fp32 0.999 or more"""
    compile: bool = False
    """let torch compile the encoder: minutes at first; no faster on the CPUs measured"""
    pretrained: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """a copy of what the name ENCODER stands for, where it cannot be downloaded"""
    encoder_class: Annotated[str | None, arg(metavar="PATH.PY:CLASS")] = None
    """where the class is, when ENCODER was trained with one of your own"""


Running = Annotated[RunningOptions, arg(name="")]
AS_USUAL = RunningOptions()


def load_embedder(encoder: str, running: RunningOptions) -> Embedder:
    """The Embedder that a verb's arguments ask for, in a process made fast for it."""
    from timbral import api
    from timbral.io.devices import tune_cpu

    tune_cpu()

    if running.encoder_class:
        api.register_encoder(running.encoder_class)
    return api.load_encoder(
        encoder,
        device=running.device,
        precision=running.precision,
        compile=running.compile,
        pretrained=running.pretrained,
    )


def count_failures(failures: int, folder: Path | str) -> int:
    """Say how many recordings failed, if any; returns the exit code."""
    if not failures:
        return OK
    reasons = f"{folder}/failures.jsonl"
    print(f"{failures:,} recordings could not be used; reasons: {reasons}", file=sys.stderr)
    return SOME_FAILED
