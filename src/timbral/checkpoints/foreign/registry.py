"""Formats of other projects' weights. A new one is a file here and a line in `FORMATS`."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, WeightsFormat
from timbral.checkpoints.foreign.chatterbox import CHATTERBOX
from timbral.checkpoints.foreign.cosyvoice_onnx import COSYVOICE
from timbral.checkpoints.foreign.ddvc import DDVC
from timbral.checkpoints.foreign.paddlespeech import PADDLESPEECH
from timbral.checkpoints.foreign.real_time_voice_cloning import REAL_TIME_VOICE_CLONING
from timbral.checkpoints.foreign.redimnet import REDIMNET
from timbral.checkpoints.foreign.resemblyzer import RESEMBLYZER
from timbral.checkpoints.foreign.speakerlab import SPEAKER_3D
from timbral.checkpoints.foreign.speechbrain import SPEECHBRAIN
from timbral.checkpoints.foreign.transformers import TRANSFORMERS
from timbral.checkpoints.foreign.transformers_w2v_bert import TRANSFORMERS_W2V_BERT
from timbral.checkpoints.foreign.unispeech import UNISPEECH
from timbral.checkpoints.foreign.weight_files import find_weights, read_content
from timbral.checkpoints.foreign.wespeaker import PYANNOTE, WESPEAKER
from timbral.checkpoints.foreign.wespeaker_mhfa import WESPEAKER_MHFA
from timbral.checkpoints.foreign.wespeaker_redimnet import WESPEAKER_REDIMNET
from timbral.checkpoints.foreign.wespeaker_tdnn import WESPEAKER_CAMPPLUS, WESPEAKER_ECAPA
from timbral.checkpoints.foreign.wespeaker_w2v_bert import WESPEAKER_W2V_BERT
from timbral.checkpoints.foreign.wrappers import check_beside, find_encoders, only_encoder
from timbral.errors import CheckpointError, ConfigError, did_you_mean

__all__ = ["FORMATS", "read_foreign"]

FORMATS: dict[str, WeightsFormat] = {
    "resemblyzer": RESEMBLYZER,
    "real-time-voice-cloning": REAL_TIME_VOICE_CLONING,
    "chatterbox": CHATTERBOX,
    "cosyvoice": COSYVOICE,
    "ddvc": DDVC,
    "paddlespeech": PADDLESPEECH,
    "speechbrain": SPEECHBRAIN,
    "3d-speaker": SPEAKER_3D,
    "wespeaker": WESPEAKER,
    "wespeaker-campplus": WESPEAKER_CAMPPLUS,
    "wespeaker-ecapa": WESPEAKER_ECAPA,
    "wespeaker-mhfa": WESPEAKER_MHFA,
    "wespeaker-redimnet": WESPEAKER_REDIMNET,
    "wespeaker-w2v-bert": WESPEAKER_W2V_BERT,
    "pyannote": PYANNOTE,
    "redimnet": REDIMNET,
    "transformers": TRANSFORMERS,
    "transformers-w2v-bert": TRANSFORMERS_W2V_BERT,
    "unispeech": UNISPEECH,
}
"""formats by the names that `convert` accepts"""


def read_foreign(source: Path, format: str | None = None) -> ConvertedWeights:
    """Read weights of another project; nothing in them is ever run.

    Raises CheckpointError if they cannot be read, have no known `format`, or fit several.
    """
    if format is not None and format not in FORMATS:
        raise CheckpointError(f"unknown format {format!r}{did_you_mean(format, FORMATS)}")
    content = read_content(find_weights(source))
    try:
        name, encoder = _recognized(content) if format is None else (format, _of(format, content))
        check_beside(encoder)
        return FORMATS[name].convert(encoder)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}{_of_another(format, content)}") from None
    except (
        ArithmeticError,
        ConfigError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        # Readers do not check the shapes of tensors before they use them.
        raise CheckpointError(
            f"{source}: these are not weights of the format {FORMATS[name].description!r}: {error}"
            f"{_of_another(format, content)}"
        ) from None


def _of_another(format: str | None, content: Content) -> str:
    """A hint for weights that have another format than the given one; else empty."""
    try:
        name, _ = _recognized(content)
    except CheckpointError:
        return ""
    return "" if format in (None, name) else f"; they look like those of {name}"


def _of(format: str, content: Content) -> Content:
    """The encoder of a format in a file; the whole content if there are no marks of one."""
    for marks in FORMATS[format].marks:
        if encoders := find_encoders(content, marks):
            return only_encoder(encoders)
    return content


def _recognized(content: Content) -> tuple[str, Content]:
    """The format that fits, and the encoder in the file; CheckpointError unless there is one."""
    matches: dict[str, tuple[str, Content]] = {}
    for name, project in FORMATS.items():
        for marks in project.marks:
            fitting = [one for one in find_encoders(content, marks) if project.fits(one)]
            if fitting:
                matches[name] = (marks[0], only_encoder(fitting))
                break
    inside = {
        name  # one format's encoder may be part of another format
        for name, (mark, _) in matches.items()
        for other, _ in matches.values()
        if other.endswith(f".{mark}")
    }
    names = [name for name in matches if name not in inside]
    if len(names) > 1:
        raise CheckpointError(
            f"these weights fit more than one format: {' or '.join(names)}; choose one with "
            "`format`"
        )
    if not names:
        formats = "".join(f"\n  {name}: {one.description}" for name, one in FORMATS.items())
        raise CheckpointError(f"weights of no known format; known formats:{formats}")
    return names[0], matches[names[0]][1]
