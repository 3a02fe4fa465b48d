"""The encoder that comes with timbral: campplus-zh-en with its weights in 8 bits.

    python recipes/shipped/make.py src/timbral/checkpoints/shipped/campplus-int8

The calibration is that of campplus-zh-en: recipes/shipped/compare.py says how little the scores of
both differ.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import timbral
from timbral.calibration.calibration_file import CALIBRATION_FILE, write_calibration
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import load_network

ORIGINAL = "campplus-zh-en"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    output: Path = parser.parse_args().output
    calibration = timbral.load_encoder(ORIGINAL, download=True).calibration
    original = resolve(ORIGINAL)
    made = replace(
        original,
        folder=output,
        name=output.name,
        origin={**original.origin, "made_of": ORIGINAL, "changes": "weights in 8 bits"},
    )
    save_checkpoint(made, {"encoder": load_network(original)}, in_8_bits=True)
    written = Checkpoint.read(output)
    assert calibration is not None, f"{ORIGINAL} has no calibration"
    own = replace(calibration, encoder=made.name, weights_sha256=written.weights_sha256)
    write_calibration(output / CALIBRATION_FILE, own)
    size = sum(path.stat().st_size for path in output.iterdir())
    print(f"{size / 1e6:.2f} MB, {written.weights_sha256}")


if __name__ == "__main__":
    main()
