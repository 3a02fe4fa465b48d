"""Recognize files that are not weights by their first bytes.

Most are results of a failed download, or the same encoder in a format for running, from which
weights cannot be read.
"""

from __future__ import annotations

import io
import zipfile

from timbral.io.json_parsing import parse_json

__all__ = ["is_onnx", "is_safetensors", "is_text", "missing_bytes", "why_no_weights"]

LONGEST_HEADER = 100_000_000
"""largest header of safetensors in bytes, by its specification"""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
UNPACK = "unpack it, and give the file of weights inside it"
BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (257, b"ustar", f"it is a tar archive, as NeMo's .nemo files are; {UNPACK}"),
    (0, b"\x1f\x8b", f"it is packed with gzip; {UNPACK}"),
    (0, b"BZh", f"it is packed with bzip2; {UNPACK}"),
    (0, b"\xfd7zXZ\x00", f"it is packed with xz; {UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"it is packed with zstd; {UNPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"it is a 7z archive; {UNPACK}"),
    (0, b"\x89HDF", "it is HDF5, as Keras writes it; weights of PyTorch or Paddle are read"),
    (4, b"TFL3", "it is a TensorFlow Lite model; weights of PyTorch or Paddle are read"),
    (0, b"GGUF", "it is a GGUF model; weights of PyTorch or Paddle are read"),
    (0, b"\x93NUMPY", "it is a single NumPy array; weights are a dictionary of tensors"),
    (0, b"PAR1", "it is a Parquet table, not weights"),
    (
        0,
        b"SQLite format 3\0",
        "it is an SQLite database, perhaps a gallery of enrolled voices; those are for `timbral "
        "gallery` and `timbral identify`. Give the file of the encoder's weights",
    ),
    (0, b"RIFF", "it is a recording (RIFF), not weights"),
    (0, b"fLaC", "it is a recording (FLAC), not weights"),
    (0, b"OggS", "it is a recording (Ogg), not weights"),
    (0, b"ID3", "it is a recording (MP3), not weights"),
)
"""offset, bytes there, and what the file is then"""
ONNX_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"
"""tags of fields of a ModelProto, one of which follows its first field, the version"""


def why_no_weights(content: bytes) -> str | None:
    """Why a file cannot be weights; None if its first bytes do not tell."""
    if not content:
        return "it is empty; download it again"
    if content.startswith(LFS_POINTER):
        return (
            "it is a Git LFS pointer, a few lines instead of the weights; download the file "
            "itself, or install Git LFS and run: git lfs fetch && git lfs checkout"
        )
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return (
            "it is a web page, such as a login or an error page; download the file itself (on "
            "the Hub, its address has /resolve/ instead of /blob/)"
        )
    for offset, magic, reason in BEGINNINGS:
        if content[offset : offset + len(magic)] == magic:
            return reason
    return _about_zip(content) if content.startswith(b"PK") else None


def is_safetensors(content: bytes) -> bool:
    """Whether a file begins like safetensors: the length of a header, then the header in JSON."""
    length = int.from_bytes(content[:8], "little")
    return content[8:9] == b"{" and 1 < length <= LONGEST_HEADER


def missing_bytes(content: bytes) -> int:
    """How many bytes a safetensors file lacks, by its header; 0 if that is unknown."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = parse_json(content[8 : 8 + length])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        return max(0, 8 + length + max(ends, default=0) - len(content))
    except (ValueError, TypeError, LookupError, AttributeError):
        return max(0, 8 + length - len(content))


def is_onnx(content: bytes) -> bool:
    """Whether a file begins like an ONNX model."""
    return len(content) > 2 and content[0] == 8 and content[1] < 32 and content[2] in ONNX_FIELDS


def is_text(content: bytes) -> bool:
    """Whether a file is plain text, at least at its beginning."""
    try:
        start = content[:200].decode("ascii")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\r\n\t" for letter in start)


def _about_zip(content: bytes) -> str | None:
    names = _names(content)
    if names is None:
        return (
            f"it is cut short after {len(content):,} bytes: the end of its archive is missing; "
            "download it again"
        )
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return (
            "it is a TorchScript program, which timbral does not run. If you trust it, load it "
            "with torch.jit.load and save its state_dict with torch.save"
        )
    if names and all(name.endswith(".npy") for name in names):
        return "it is an archive of NumPy arrays (.npz); weights of PyTorch or Paddle are read"
    if not any(name.endswith("/data.pkl") for name in names):
        return f"it is a zip archive without weights of torch; {UNPACK}"
    return None


def _names(content: bytes) -> list[str] | None:
    """The names in a zip archive; None if its end, which lists them, is missing or damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, LookupError, OSError, NotImplementedError):
        return None
