"""The verb check-encoder."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, option

__all__ = ["run"]

BROKEN = 2


def run(
    encoder: Annotated[
        Positional[str],
        option("FILE.py:CLASS", "the class of your own encoder, or a name from `timbral models`"),
    ],
    *,
    no_export: Annotated[
        bool, option(None, "skip the export to ONNX, which takes seconds")
    ] = False,
) -> int:
    """Test your own encoder: padding, batches, gradients, export.

    example: timbral check-encoder mine.py:Statistics
    """
    from timbral.exporting.encoder_check import check_encoder

    broken = 0
    for check in check_encoder(encoder, exported=not no_export):
        print(f"{'ok' if check.ok else 'BROKEN':<7}{check.name:<15}{check.found}")
        broken += not check.ok
    return BROKEN if broken else OK
