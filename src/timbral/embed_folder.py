"""What is made of a finished `embed` folder: speaker vectors, an audit, the voice map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from timbral import bulk, projection, voicemap
from timbral.files import written_whole
from timbral.speaker_vectors import speaker_table
from timbral.vector_table import vectors_of

__all__ = ["average_speakers", "draw_map"]

Progress = Callable[[int, int], None]


def average_speakers(
    embeddings: Path,
    output: Path,
    aggregate: str = "normalised-mean",
    *,
    centroids: str = "speaker",
    clusters: int = 2,
    unit_length: bool | None = None,
) -> pa.Table:
    """Vectors of the speakers of an `embed` folder, into one Parquet file; returns its table."""
    table = speaker_table(
        bulk.read_vectors(embeddings),
        aggregate,
        centroids=centroids,
        clusters=clusters,
        unit_length=unit_length,
    )
    with written_whole(output) as temporary:
        pa.parquet.write_table(table, temporary)
    return table


def draw_map(
    embeddings: Path, output: Path, progress: Progress | None = None
) -> tuple[Path, voicemap.PageSummary]:
    """Draw an `embed` folder as a page (HTML) and, beside it, a picture (PNG)."""
    projection.check_installed()
    table = bulk.read_vectors(embeddings)
    points = projection.project(vectors_of(table))
    speakers = table["speaker"].to_pylist()
    title = f"{len(speakers):,} utterances of {len(set(speakers)):,} speakers"
    picture = output.with_suffix(".png")
    projection.draw(points, speakers, picture, title=title)
    marks = [
        voicemap.Point(row["utterance"], row["speaker"], row["path"], float(x), float(y))
        for row, (x, y) in zip(
            table.select(["utterance", "speaker", "path"]).to_pylist(), points, strict=True
        )
    ]
    return picture, voicemap.write_page(marks, output, title="Voice map", progress=progress)
