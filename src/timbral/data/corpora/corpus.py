"""The definition of a corpus: how to find its utterances, its folder structure, and its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from timbral.data.manifest import Utterance
from timbral.errors import AudioError

__all__ = ["Corpus", "Scan"]

Scan = Callable[[Path], Iterator[Utterance | AudioError]]
"""from a folder to its utterances and failures, in an order that depends only on names"""


@dataclass(frozen=True)
class Corpus:
    """A corpus, or any layout of recordings on disk."""

    scan: Scan
    expected: tuple[str, ...]
    """files below the corpus's folder, as patterns"""
    folder: str = ""
    """its folder below the root of several corpora (`scan_datasets`); empty: not supported there"""
    size: str = ""
    license: str = ""
    page: str = ""
    trim: str = "none"
    """usual trim of silence: webrtc for PaddleSpeech's five corpora"""
