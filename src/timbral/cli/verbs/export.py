"""The verb export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from timbral.cli.common_options import (
    OK,
    Encoder,
    RunningOptions,
    load_embedder,
    option,
)

__all__ = ["run"]


def run(
    encoder: Encoder,
    *,
    output: Annotated[Path, option("FILE.onnx", "the file; it stands wherever ENCODER does")],
    precision: Annotated[str, option("PRECISION", "of the file: fp32, and no other yet")] = "fp32",
    weights_dir: Annotated[
        Path | None,
        option("FOLDER", "a copy of the weights that the name ENCODER stands for; no download"),
    ] = None,
) -> int:
    """Write an encoder as one ONNX file that takes waveforms.

    example: timbral export campplus-zh-en --output campplus.onnx
    """
    from timbral import api
    from timbral.exporting.export_encoder import check_export

    check_export(output, precision)  # before the encoder is loaded
    running = RunningOptions(device="cpu", weights_dir=weights_dir)
    made = api.export(load_embedder(encoder, running), output, precision=precision)
    parity = made.parity
    print(f"{output}: {made.num_bytes / 1e6:.1f} MB, {precision}")
    print(
        f"parity with torch on {parity.num_recordings} recordings ({parity.seconds:.0f} s): least "
        f"cosine {parity.cosine:.7f}, largest difference {parity.max_difference:.0e}, in a batch "
        f"{parity.batch_difference:.0e}"
    )
    return OK
