"""Recordings of the containers whose headers, frames and pages timbral reads itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from timbral.audio import headers
from timbral.audio.byte_source import open_source
from timbral.audio.decode import decode, read_header
from timbral.audio.flac import flac_lengths
from timbral.audio.mp3 import mp3_streams
from timbral.audio.mpeg4 import check_boxes
from timbral.audio.ogg import ogg_links

CONTAINERS = {
    "wav": ("WAV", "PCM_16"),
    "gsm": ("WAV", "GSM610"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "sph": ("NIST", "PCM_16"),
    "voc": ("VOC", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def make_recordings(folder: Path) -> None:
    """A tenth of a second in each container, and the boxes of an m4a without sound."""
    wave = 0.3 * np.sin(np.arange(800) / 5)
    for name, (format, subtype) in CONTAINERS.items():
        soundfile.write(folder / name, wave, 8_000, subtype, format=format)
    boxes = b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08free" + b"\0\0\0\x0cmdat0123"
    (folder / "m4a").write_bytes(boxes)


def read_structure(name: str) -> Callable[[Path], None]:
    """timbral's own readers, whatever the file now looks like."""

    def read(folder: Path) -> None:
        with open_source(str(folder / name), name, whole=False) as source:
            headers.read_data(source)
            flac_lengths(source)
            for stream in mp3_streams(source.content()):
                stream.cut(0, stream.num_samples)
            ogg_links(source.content())
            check_boxes(source)

    return read


def decode_recording(name: str) -> Callable[[Path], None]:
    """The whole way, libsndfile included."""

    def read(folder: Path) -> None:
        read_header(folder / name)
        wave, _ = decode(folder / name)
        if not np.isfinite(wave).all():
            raise AssertionError("a wave that is not finite came through")

    return read
