"""Weights of other projects in our terms. A new project is a file here and a line in `FORMATS`."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, Format
from timbral.checkpoints.foreign.ddvc import DDVC
from timbral.checkpoints.foreign.paddlespeech import PADDLESPEECH
from timbral.checkpoints.foreign.real_time_voice_cloning import REAL_TIME_VOICE_CLONING
from timbral.checkpoints.foreign.resemblyzer import RESEMBLYZER
from timbral.checkpoints.foreign.speakerlab import SPEAKER_3D
from timbral.checkpoints.foreign.speechbrain import SPEECHBRAIN
from timbral.checkpoints.foreign.transformers import TRANSFORMERS
from timbral.checkpoints.foreign.weight_files import find_weights, read_content
from timbral.errors import CheckpointError, ConfigError, did_you_mean

__all__ = ["FORMATS", "read_foreign"]

FORMATS: dict[str, Format] = {
    "resemblyzer": RESEMBLYZER,
    "real-time-voice-cloning": REAL_TIME_VOICE_CLONING,
    "ddvc": DDVC,
    "paddlespeech": PADDLESPEECH,
    "speechbrain": SPEECHBRAIN,
    "3d-speaker": SPEAKER_3D,
    "transformers": TRANSFORMERS,
}
"""of those that recognize a file the first one reads it, unless a format is named"""


def read_foreign(source: Path, format: str | None = None) -> ConvertedWeights:
    """Read weights of another project; nothing in them is ever run.

    Raises CheckpointError when they cannot be read, or are of no known `format`.
    """
    if format is not None and format not in FORMATS:
        raise CheckpointError(f"unknown format {format!r}{did_you_mean(format, FORMATS)}")
    content = read_content(find_weights(source))
    project = _recognized(content, source) if format is None else FORMATS[format]
    try:
        return project.convert(content)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    except (ConfigError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Tensors of other shapes than a reader expects; it takes them apart without asking.
        raise CheckpointError(
            f"{source}: these are not weights of the format {project.description!r}: {error}"
        ) from None


def _recognized(content: Content, source: Path) -> Format:
    for project in FORMATS.values():
        if project.recognizes(content):
            return project
    formats = "".join(f"\n  {name}: {project.description}" for name, project in FORMATS.items())
    raise CheckpointError(f"{source}: weights of no known format; known formats:{formats}")
