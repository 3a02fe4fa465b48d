"""The files of formats that mirror the folders of the corpus."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from timbral.audio.segments import Segment
from timbral.errors import DataError
from timbral.io.storage import location_of

__all__ = ["mirrored_paths"]


def mirrored_paths(table: pa.Table, root: str | Path, suffix: str) -> list[Path]:
    """Each recording's path relative to the corpus's folder, with another suffix.

    The file of a segment is named by the utterance's id. Raises DataError if a recording is not
    below that folder.
    """
    above = location_of(root) + "/"
    mirrored = []
    for path, utterance in zip(
        table["path"].to_pylist(), table["utterance"].to_pylist(), strict=True
    ):
        segment = Segment.of(path)
        if not path.startswith(above):
            raise DataError(
                f"{path} is not below {root}, so there is no folder structure to copy; use the "
                "format parquet"
            )
        relative = Path(segment.file.removeprefix(above))
        stem = relative.stem if segment.is_whole else utterance.replace(os.sep, "_")
        mirrored.append(relative.with_name(stem + suffix))
    return mirrored
