"""The verb verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import DEFAULT_RUNNING, OK, Encoder, Running, load_embedder, option
from timbral.cli.early_checks import check_recordings

__all__ = ["run"]


def run(
    encoder: Encoder,
    first: Annotated[Positional[Path], option("FIRST", "a recording")],
    second: Annotated[Positional[Path], option("SECOND", "a recording to compare it with")],
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
    check_recordings(first, second)
    decision = load_embedder(encoder, running).verify(first, second, threshold)
    if decision.threshold is None:
        print(f"cosine {decision.score:.3f}")
        print("no threshold is known for this encoder (no validation); give one with --threshold")
    else:
        score, limit = decision.compared
        print(f"cosine {score}")
        print(f"{'same speaker' if decision.same else 'different speakers'} (threshold {limit})")
    return OK
