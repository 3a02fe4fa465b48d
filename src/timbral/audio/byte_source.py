"""Where the bytes of a recording come from: a file, a URL, or memory."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from timbral.audio.length_limit import NO_LIMIT, LengthLimit
from timbral.audio.nearby import hint_nearby
from timbral.errors import AudioError, AudioErrorKind
from timbral.io.storage import fetch, is_url, open_url

__all__ = [
    "ByteSource",
    "check_regular",
    "content_source",
    "not_utf8",
    "open_source",
    "undecodable",
    "why_unreadable",
]

HEAD_BYTES = 4_096
"""enough to recognize formats, and for most headers of PCM"""


@dataclass(frozen=True)
class ByteSource:
    """The bytes of a recording, open for reading."""

    name: str
    """name in error messages"""
    file: BinaryIO | Any
    size: int
    """size in bytes"""
    head: bytes
    """the first `HEAD_BYTES`"""
    path: str | None = None
    """path on this machine's disks; None for other sources"""
    limit: LengthLimit = NO_LIMIT
    """longest recording; longer ones are refused before decoding"""

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on."""
        if offset + count <= len(self.head):
            return self.head[offset : offset + count]
        if offset >= self.size:  # a header may point anywhere
            return b""
        self.file.seek(offset)
        pieces = []
        while count > 0 and (piece := self.file.read(count)):  # Linux reads 2 GiB at most at once
            pieces.append(bytes(piece))
            count -= len(piece)
        return b"".join(pieces)

    def content(self) -> bytes:
        """All bytes."""
        self.file.seek(0)
        return bytes(self.file.read())

    def for_library(self) -> str | BinaryIO | Any:
        """The argument for libsndfile and PyAV: the path (faster), or a file at its start."""
        if self.path is not None:
            return self.path
        self.file.seek(0)
        return self.file


@contextmanager
def open_source(
    file: str, name: str, *, whole: bool, within: tuple[int, int] | None = None
) -> Iterator[ByteSource]:
    """Open a path or URL; with `whole` a URL is fetched at once, as all of it will be read.

    within: offset and number of the recording's bytes in the file; None: all bytes.

    Raises OSError if it cannot be opened, and AudioError for anything but a regular file.
    """
    if within is not None:
        yield content_source(_bytes_within(file, name, *within), name)
        return
    if is_url(file):
        if whole:
            yield content_source(fetch(file), name)
            return
        with open_url(file) as remote:
            yield ByteSource(name, remote, remote.size(), remote.read(HEAD_BYTES))
        return
    try:
        file.encode()
    except UnicodeEncodeError:
        raise not_utf8(file) from None
    with open(file, "rb", buffering=0, opener=_open_at_once) as raw:
        status = os.fstat(raw.fileno())
        _check_regular(name, status.st_mode)
        yield ByteSource(name, raw, status.st_size, raw.read(HEAD_BYTES), file)


def not_utf8(path: str) -> AudioError:
    """The error for a recording whose name is not UTF-8, which no table can store."""
    printable = os.fsencode(path).decode("utf-8", "backslashreplace")
    return AudioError(printable, "the name is not UTF-8; rename the file", "bad-name")


def _bytes_within(file: str, name: str, offset: int, size: int) -> bytes:
    """A range of bytes of a file; AudioError if the file is shorter."""
    if is_url(file):
        with open_url(file) as remote:
            remote.seek(offset)
            content = bytes(remote.read(size))
    else:
        with open(file, "rb", opener=_open_at_once) as raw:
            _check_regular(name, os.fstat(raw.fileno()).st_mode)
            raw.seek(offset)
            content = raw.read(min(size, os.fstat(raw.fileno()).st_size))
    if len(content) != size:
        reason = f"the file is cut short: {len(content):,} of {size:,} bytes are there"
        raise AudioError(name, reason, "unreadable")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a FIFO, which is refused later."""
    return os.open(path, flags | os.O_NONBLOCK)


def content_source(content: bytes, name: str, limit: LengthLimit = NO_LIMIT) -> ByteSource:
    """The content of an audio file in memory."""
    head = content[:HEAD_BYTES]
    return ByteSource(name, io.BytesIO(content), len(content), head, limit=limit)


def check_regular(path: Path) -> None:
    """Raise AudioError for a path such as a FIFO or device: reading one may never end."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # opening it reports the reason
        return
    _check_regular(str(path), mode)


def _check_regular(name: str, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise AudioError(name, "is a pipe, socket or device, not a regular file", "unsupported")


def why_unreadable(name: str, file: str, error: Exception) -> AudioError:
    """The error for a recording `name` in `file`, from the `error` of opening or decoding it."""
    if not file:
        return AudioError("''", "the path is empty", "bad-name")
    if is_url(file):
        kind: AudioErrorKind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return AudioError(name, f"cannot be read as audio ({error})", kind)
    try:
        status = Path(file).stat()
    except FileNotFoundError:
        return AudioError(name, f"no such file{hint_nearby(file)}", "missing")
    except OSError as refusal:
        return AudioError(name, f"cannot be opened ({refusal.strerror})", "unreadable")
    except ValueError:
        return AudioError(name, "cannot be opened: the path contains a NUL character", "bad-name")
    _check_regular(name, status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return AudioError(name, "is a folder; give a recording inside it", "unreadable")
    return undecodable(name, status.st_size, error)


def undecodable(name: str, size: int, error: Exception) -> AudioError:
    """The error for content of `size` bytes that a library refused with `error`."""
    if size == 0:
        return AudioError(name, "the file is empty (0 bytes)", "empty")
    cause = str(error).rstrip(".").rsplit(": ", 1)[-1] or type(error).__name__
    return AudioError(
        name,
        f"cannot be read as audio ({cause}); wav, flac, ogg (Vorbis, Opus) and mp3 are read",
        "unreadable",
    )
