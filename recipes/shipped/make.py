"""The encoders that are shipped with timbral, with weights in few bits.

    shipped=src/timbral/checkpoints/shipped
    python recipes/shipped/make.py campplus-zh-en $shipped/campplus-int8 \\
        --training-data "Mandarin and English speakers, …"
    python recipes/shipped/make.py WORK/student.encoder $shipped/timbral-small \\
        --bits 6 --calibration FILE --changes "a student cut from it, weights in 6 bits" \\
        --training-data "Without labels: …"

WORK is that of recipes/distillation/cut_down/run.sh. FILE is a calibration that `timbral calibrate`
fitted to the encoder's own vectors. Without it, the encoder's calibration is used:
recipes/shipped/compare.py shows how little the scores of campplus-zh-en change.
The model card says what `--training-data` says.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import timbral
from timbral.calibration.calibration_file import (
    CALIBRATION_FILE,
    read_calibration,
    write_calibration,
)
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import load_network

ORIGINAL = "campplus-zh-en"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder")
    parser.add_argument("output", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--changes", default="weights in 8 bits", help="of campplus-zh-en")
    parser.add_argument("--training-data", default="", help="in words, for the model card")
    parser.add_argument("--bits", type=int, default=8)
    options = parser.parse_args()
    output: Path = options.output
    calibration = (
        timbral.load_encoder(options.encoder, download=True).calibration
        if options.calibration is None
        else read_calibration(options.calibration)
    )
    assert calibration is not None, f"{options.encoder} has no calibration"
    original = resolve(options.encoder)
    origin = {**original.origin, "made_of": ORIGINAL, "changes": options.changes}
    data = {"description": options.training_data} if options.training_data else {}
    made = replace(original, folder=output, name=output.name, origin=origin, training_data=data)
    save_checkpoint(made, {"encoder": load_network(original)}, bits=options.bits)
    written = Checkpoint.read(output)
    own = replace(calibration, encoder=made.name, weights_sha256=written.weights_sha256)
    write_calibration(output / CALIBRATION_FILE, own)
    size = sum(path.stat().st_size for path in output.iterdir())
    print(f"{size / 1e6:.2f} MB, {written.weights_sha256}")


if __name__ == "__main__":
    main()
