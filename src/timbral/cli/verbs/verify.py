"""The verb verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import DEFAULT_RUNNING, OK, Encoder, Running, load_embedder, option

__all__ = ["run"]


def run(
    encoder: Encoder,
    first: Annotated[Positional[Path], option("FIRST", "a recording")],
    second: Annotated[Positional[Path], option("SECOND", "another one")],
    *,
    threshold: Annotated[
        float | None,
        option(
            "COSINE",
            "least cosine of the same speaker; default: where false accepts and false rejects were "
            "equally frequent on the run's validation speakers",
        ),
    ] = None,
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Are two recordings of the same speaker?

    example: timbral verify campplus-zh-en a.wav b.wav --threshold 0.5
    """
    decision = load_embedder(encoder, running).verify(first, second, threshold)
    print(f"cosine {decision.score:.3f}")
    if decision.same is None:
        print("no threshold is known for this encoder (no validation); give one with --threshold")
    else:
        verdict = "same speaker" if decision.same else "different speakers"
        print(f"{verdict} (threshold {decision.threshold:.3f})")
    return OK
