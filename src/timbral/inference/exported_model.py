"""The metadata and the file of an exported model, which may be untrusted.

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
"""ONNX's field of the producer, at the beginning of the file"""
NO_HASH = "0" * 64
OTHER_FILE = b"\n\x08location"
"""bytes that mark weights in another file in ONNX, which timbral's models never have"""

STATIC = "int8-static"
"""a precision: weights of 8 bits, and products over frames in 8 bits with fixed ranges"""


@dataclass(frozen=True)
class ExportedNetwork:
    """Properties of a network that are needed to use it, besides its weights."""

    name: str
    """name of the architecture"""
    sample_rate: int
    embedding_dim: int
    min_samples: int
    hop_samples: int
    longest_seconds: float
    """longer utterances are split into equal segments, whose vectors are averaged"""
    window_frames: int = 0
    """frames of the windows in the graph; 0: utterances are embedded whole"""
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
    """Lowest agreement of unit vectors with torch's, for recordings alone and in a padded batch."""

    num_recordings: int
    seconds: float
    """total seconds of audio"""
    cosine: float
    """lowest cosine"""
    max_difference: float
    """largest difference of one number of a vector"""
    batch_difference: float
    """largest difference of the exported vectors in a batch from those of each recording alone"""
    num_trials: int = 0
    """trials of the shipped voices, on which error rates were measured, for int8"""
    eer: float | None = None
    """EER in [0, 1] of the exported vectors on these trials"""
    eer_fp32: float | None = None
    """EER of torch's float32 vectors on these trials"""


@dataclass(frozen=True)
class ExportedModel:
    """The metadata of an exported model."""

    format: int
    name: str
    """name of the encoder"""
    network: ExportedNetwork
    preprocessing: Preprocessing
    weights_sha256: str
    embedding_identity: str
    """hash of preprocessing and windows"""
    precision: str
    parity: Parity
    """agreement of the vectors with torch's, measured when the file was written"""
    num_products: int = 0
    """number of products that are computed in 8 bits"""
    license: str = ""
    threshold: float | None = None
    uninitialized_prefixes: tuple[str, ...] = ()
    calibration: str = ""
    """content of the calibration's file; empty if there is none"""
    made_with: str = ""
    """versions of timbral and other packages"""

    @classmethod
    def parse(cls, text: str, path: Path) -> ExportedModel:
        """Parse the metadata of the file at `path`; CheckpointError if they are invalid."""
        try:
            content = parse_json(text)
            version = content.get("format") if isinstance(content, dict) else None
            if version != FORMAT:
                raise ConfigError(
                    f"format {version!r}, but this timbral reads format {FORMAT}: update timbral, "
                    "or export the encoder again with this version"
                )
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
    """Whether a path is a file with the suffix of an exported model."""
    return path.suffix.lower() == ".onnx" and path.is_file()


def with_hash(content: bytes) -> bytes:
    """The content of a file with its hash in place of `NO_HASH`."""
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(NO_HASH.encode(), digest.encode(), 1)


def read_content(path: Path) -> bytes:
    """The content of an exported model; CheckpointError for a file that timbral did not write."""
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
