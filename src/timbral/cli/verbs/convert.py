"""The verb convert."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from timbral.cli.common_options import OK

__all__ = ["run"]


def run(
    weights: Annotated[
        Positional[Path],
        arg(metavar="WEIGHTS", help="a file, or a folder of transformers or SpeechBrain"),
    ],
    *,
    output: Annotated[Path, arg(metavar="FOLDER", help="the checkpoint; use it as ENCODER")],
    from_: Annotated[
        str | None,
        arg(
            name="from",
            metavar="FORMAT",
            help="resemblyzer, real-time-voice-cloning, chatterbox, cosyvoice, ddvc, "
            "paddlespeech, speechbrain, 3d-speaker, wespeaker, wespeaker-campplus, "
            "wespeaker-ecapa, wespeaker-mhfa, wespeaker-redimnet, wespeaker-w2v-bert, pyannote, "
            "redimnet, transformers, transformers-w2v-bert or unispeech; default: recognized by "
            "its content",
            help_behavior_hint="",
        ),
    ] = None,
) -> int:
    """Convert another project's weights, without running its code.

    example: timbral convert encoder.pt --output converted
    """
    from timbral import api
    from timbral.encoders.registry import ENCODERS

    made = api.convert(weights, output, from_)
    kinds = {encoder.config_type: name for name, encoder in ENCODERS.items()}
    step = f", step {made.step:,}" if made.step else ""
    print(f"{kinds[type(made.config.encoder)]}{step}: {output}")
    if made.uninitialized_prefixes:
        print(f"warning: {api.uninitialized_message(made)}", file=sys.stderr)
    return OK
