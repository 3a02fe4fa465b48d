"""The verb average."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, option
from timbral.cli.encoder_downloads import download_missing

__all__ = ["run"]


def run(
    encoders: Annotated[
        Positional[tuple[str, ...]],
        option("ENCODER …", "run folders, checkpoints or names, all of one architecture"),
    ],
    *,
    output: Annotated[Path, option("FOLDER", "the checkpoint; use it as ENCODER")],
    weights: Annotated[
        tuple[float, ...],
        option("W ...", "weights of the encoders, in the same order; default: equal"),
    ] = (),
) -> int:
    """Average weights, such as of a fine-tuned encoder and its origin.

    example: timbral average runs/tuned campplus-zh-en --weights 0.5 0.5 --output averaged
    """
    from timbral import api

    download_missing(*encoders)
    made = api.average(encoders, output, weights)
    factors = weights or (1.0,) * len(encoders)
    terms = [
        f"{100 * factor / sum(factors):.3g} % {name}"
        for factor, name in zip(factors, encoders, strict=True)
    ]
    print(f"{' + '.join(terms)}: {made.folder}")
    return OK
