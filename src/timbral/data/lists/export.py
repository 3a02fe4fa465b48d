"""Lists of utterances for other tools."""

from __future__ import annotations

from pathlib import Path

from timbral.data.lists.registry import LIST_FORMATS
from timbral.data.manifest import Manifest
from timbral.errors import check_choice

__all__ = ["write_list"]


def write_list(manifest: Manifest, output: Path, format: str) -> tuple[int, int]:
    """Write a list of utterances.

    output: a file; a folder for kaldi and lhotse.
    format: a name of `LIST_FORMATS`.

    Returns the numbers of utterances written and of failures, which only lhotse can have: it
    needs the recordings' headers. Raises ConfigError for an unknown format.
    """
    check_choice("format", format, LIST_FORMATS)
    return LIST_FORMATS[format].write(manifest, output)
