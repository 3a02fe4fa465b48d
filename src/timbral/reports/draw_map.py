"""The voice map of an `embed` folder: the page and the plot."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from timbral.embeddings.audit.findings import notes
from timbral.embeddings.audit.findings_file import findings_path, read_findings
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.io.outputs import claim_file
from timbral.io.types import Progress
from timbral.plots import projection
from timbral.plots.scatter import PLOT, draw_scatter
from timbral.reports.map_columns import map_columns
from timbral.reports.readable_audio import ReadableAudio
from timbral.reports.voice_map import MAP_PAGE, PageSummary, Point, write_voice_map

__all__ = ["map"]


def map(
    embeddings: str | Path,
    output: str | Path,
    progress: Progress = lambda done, total: None,
    *,
    corpus: str | Path | None = None,
) -> tuple[Path, PageSummary]:
    """Draw the voices of an `embed` folder: a page on which a click plays the utterance.

    Utterances of the folder's findings, if `audit` was run, are ringed.

    Args:
        embeddings: a folder that `embed` made
        output: the page (.html); a plot of the same name (.png) is written beside it
        progress: called with the recordings read so far, and their number
        corpus: a folder or URL, below which recordings may be read; None: those of the corpus that
            was embedded, if it lies on this machine. Nothing is read or fetched only because the
            table names it

    Returns:
        the plot's path, and what the page holds

    Raises DataError when `output` holds anything but an earlier map, MissingExtraError
    when the optional dependencies of [map] are not installed.
    """
    embeddings, output = Path(embeddings), Path(output)
    plot = output.with_suffix(".png")
    claim_file(output, MAP_PAGE, [embeddings])
    claim_file(plot, PLOT)
    projection.check_installed()
    table = read_embeddings(embeddings)
    points = projection.project(vectors_of(table))
    speakers = table["speaker"].to_pylist()
    title = f"{len(speakers):,} utterances of {len(set(speakers)):,} speakers"
    draw_scatter(points, speakers, plot, title=title)
    audio = ReadableAudio(embeddings, corpus)
    marks = [
        Point(
            row["utterance"],
            row["speaker"],
            row["path"],
            float(x),
            float(y),
            note,
            audio.refusal(row["path"]),
        )
        for row, (x, y), note in zip(
            table.select(["utterance", "speaker", "path"]).to_pylist(),
            points,
            _notes(embeddings, table),
            strict=True,
        )
    ]
    return plot, write_voice_map(
        marks, output, title="Voice map", columns=map_columns(embeddings), progress=progress
    )


def _notes(embeddings: Path, table: pa.Table) -> list[str]:
    """What the audit found about each utterance, when it was run on the folder."""
    path = findings_path(embeddings)
    if not path.exists():
        return [""] * table.num_rows
    findings = read_findings(path)
    return notes(findings, table["utterance"].to_pylist(), table["speaker"].to_pylist())
