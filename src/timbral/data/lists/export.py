"""Lists of utterances for other tools."""

from __future__ import annotations

from pathlib import Path

from timbral.data.lists.registry import LIST_FORMATS
from timbral.data.manifest import COLUMNS, Manifest
from timbral.errors import check_choice
from timbral.io.files import write_json
from timbral.io.outputs import LIST, LIST_MARKER, FileKind, claim_file, claim_folder

__all__ = ["claim_list", "write_list"]

TABLE = FileKind("a list of utterances", frozenset(COLUMNS.names))


def claim_list(output: Path, format: str, source: str | Path) -> None:
    """Make `output` this verb's; DataError when it is `source`, or holds anything but a list."""
    check_choice("format", format, LIST_FORMATS)
    if LIST_FORMATS[format].layout is None:
        claim_file(output, TABLE, [source])
    else:
        claim_folder(output, LIST, [source])
        write_json(output / LIST_MARKER, {"format": format})


def write_list(manifest: Manifest, output: Path, format: str) -> tuple[int, int]:
    """Write a list of utterances.

    output: a file; a folder for kaldi and lhotse.
    format: a name of `LIST_FORMATS`.

    Returns the numbers of utterances written and of failures, which only lhotse can have: it
    needs the recordings' headers. Raises ConfigError for an unknown format.
    """
    check_choice("format", format, LIST_FORMATS)
    return LIST_FORMATS[format].write(manifest, output)
