"""What an exported model says of itself, and its file, which strangers may have made or changed.

The file is ONNX with two entries of metadata: `timbral`, one JSON object, and `file_sha256`, the
hash of the file with zeros in place of that hash.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from timbral.audio.preprocessing import Preprocessing
from timbral.config.dataclass_fields import dataclass_of
from timbral.encoders.native_windows import Windows
from timbral.errors import CheckpointError, ConfigError
from timbral.io.json_parsing import parse_json
from timbral.io.outputs import FileKind

__all__ = [
    "EXPORTED_MODEL",
    "FORMAT",
    "NO_HASH",
    "PRODUCER",
    "STATIC",
    "ExportedModel",
    "ExportedNetwork",
    "Parity",
    "is_exported",
    "read_content",
    "with_hash",
]

FORMAT = 1
PRODUCER = "timbral"
EXPORTED_MODEL = FileKind("an exported model", signature=b"\x12\x07timbral")
"""ONNX's field of the producer, which stands at the beginning"""
NO_HASH = "0" * 64
OTHER_FILE = b"\n\x08location"
"""in ONNX, where weights lie in another file; our files hold all of theirs"""

STATIC = "int8-static"
"""a precision: weights of 8 bits, and products over frames computed in 8 bits by ranges that are
known before"""


@dataclass(frozen=True)
class ExportedNetwork:
    """What must be known of a network to use it, besides its weights."""

    name: str
    """of the architecture"""
    sample_rate: int
    embedding_dim: int
    min_samples: int
    hop_samples: int
    longest_seconds: float
    """longer utterances are given to it in equal segments, whose vectors are averaged"""
    window_frames: int = 0
    """of the windows in the graph; 0: utterances are embedded whole"""
    window_step: int = 0
    window_min_coverage: float = 0.0

    @property
    def windows(self) -> Windows | None:
        if not self.window_frames:
            return None
        return Windows(self.window_frames, self.window_step, self.window_min_coverage)

    def check_takes_mels(self) -> None:
        """Raise ConfigError: the graph takes waveforms."""
        raise ConfigError(
            f"{self.name}: an exported model takes waveforms, not precomputed mels; give the "
            "recordings themselves, or the encoder that it was exported from"
        )


@dataclass(frozen=True)
class Parity:
    """Least agreement of the unit vectors of some recordings, alone and in one padded batch."""

    num_recordings: int
    seconds: float
    """of audio, together"""
    cosine: float
    """the least"""
    max_difference: float
    """of one number of a vector"""
    batch_difference: float
    """of the exported vectors in a batch to those of each recording alone"""
    num_trials: int = 0
    """of the shipped voices, on which error rates were measured: of int8"""
    eer: float | None = None
    """in [0, 1], of the exported vectors on these trials"""
    eer_fp32: float | None = None
    """of torch's float32 on the same"""


@dataclass(frozen=True)
class ExportedModel:
    """The metadata of an exported model."""

    format: int
    name: str
    """of the encoder"""
    network: ExportedNetwork
    preprocessing: Preprocessing
    weights_sha256: str
    embedding_identity: str
    """of preprocessing and windows"""
    precision: str
    parity: Parity
    """how near the vectors are to those of torch, as measured when the file was written"""
    num_products: int = 0
    """that are computed in 8 bits"""
    license: str = ""
    threshold: float | None = None
    uninitialized_prefixes: tuple[str, ...] = ()
    calibration: str = ""
    """the content of its file; empty where there is none"""
    made_with: str = ""
    """versions"""

    @classmethod
    def parse(cls, text: str, path: Path) -> ExportedModel:
        """The metadata of the file at `path`; CheckpointError when it cannot be used."""
        try:
            content = parse_json(text)
            version = content.get("format") if isinstance(content, dict) else None
            if version != FORMAT:
                raise ConfigError(f"format {version!r}, but this timbral reads format {FORMAT}")
            model = dataclass_of(cls, content, "timbral")
        except (ConfigError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{path}: its metadata cannot be used ({error})") from None
        network = model.network
        sizes = (network.sample_rate, network.embedding_dim, network.min_samples)
        if min(*sizes, network.hop_samples, network.longest_seconds) <= 0:
            raise CheckpointError(f"{path}: its metadata contains a size that is not positive")
        if network.window_frames < 0 or (network.window_frames and network.window_step < 1):
            raise CheckpointError(f"{path}: its metadata contains impossible windows")
        return model

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_exported(path: Path) -> bool:
    """Whether a path is a file whose name says that it is an exported model."""
    return path.suffix.lower() == ".onnx" and path.is_file()


def with_hash(content: bytes) -> bytes:
    """The content of a file with its hash in the place of `NO_HASH`."""
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(NO_HASH.encode(), digest.encode(), 1)


def read_content(path: Path) -> bytes:
    """The content of an exported model; CheckpointError for what timbral did not write."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CheckpointError(f"{path}: cannot be read ({reason})") from None
    if EXPORTED_MODEL.signature not in content[:64]:
        raise CheckpointError(
            f"{path}: was not written by `timbral export`; only such models contain their "
            "front-end and say how to prepare recordings"
        )
    if OTHER_FILE in content:
        raise CheckpointError(f"{path}: refers to other files, which are not read; export it again")
    stated = re.search(rb"file_sha256\x12\x40([0-9a-f]{64})", content[-(1 << 20) :])
    digest = stated.group(1) if stated else b""
    zeros = content.replace(digest, NO_HASH.encode(), 1) if digest else content
    if hashlib.sha256(zeros).hexdigest().encode() != digest:
        raise CheckpointError(
            f"{path}: is damaged or was changed: its SHA-256 is not the recorded one; copy or "
            "export it again"
        )
    return content
