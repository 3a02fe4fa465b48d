"""The verb verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.options import DEFAULT_RUNNING, OK, Encoder, Running, load_embedder, option

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
    from timbral import api

    embedder = load_embedder(encoder, running)
    cosine = embedder.similarity(first, second)
    limit = api.validation_threshold(encoder) if threshold is None else threshold
    print(f"cosine {cosine:.3f}")
    if limit is None:
        print("no threshold is known for this encoder (no validation); give one with --threshold")
    else:
        verdict = "same speaker" if cosine >= limit else "different speakers"
        print(f"{verdict} (threshold {limit:.3f})")
    return OK
