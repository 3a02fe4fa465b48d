"""What is made of a finished `embed` folder: speaker vectors, an audit, the voice map."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.audit.findings import audit, notes
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.errors import ConfigError
from timbral.io.files import atomic_write
from timbral.io.types import Progress
from timbral.plots import projection
from timbral.plots.scatter import draw_scatter
from timbral.reports import voice_map as voicemap

__all__ = ["audit_folder", "average_speakers", "draw_map"]

AUDIT = "audit.parquet"
"""where the map looks for an audit, in the `embed` folder"""


def average_speakers(
    embeddings: Path,
    output: Path,
    aggregate: str = "normalized-mean",
    *,
    group_by: str = "speaker",
    clusters: int = 2,
    unit_length: bool | None = None,
) -> pa.Table:
    """Vectors of the speakers of an `embed` folder, into one Parquet file; returns its table."""
    table = speaker_table(
        read_embeddings(embeddings),
        aggregate,
        group_by=group_by,
        clusters=clusters,
        unit_length=unit_length,
    )
    with atomic_write(output) as temporary:
        pa.parquet.write_table(table, temporary)
    return table


def audit_folder(embeddings: Path, output: Path, min_probability: float = 0.5) -> pa.Table:
    """Findings about the corpus of an `embed` folder, into `output` (.parquet) and a CSV beside it.

    Returns the table; see `timbral.embeddings.audit.findings`. ConfigError for a probability
    outside [0, 1].
    """
    if not 0.0 <= min_probability <= 1.0:
        raise ConfigError(f"min_probability must lie in [0, 1], got {min_probability}")
    findings = audit(read_embeddings(embeddings), min_probability)
    with atomic_write(output) as temporary:
        pa.parquet.write_table(findings, temporary)
    with atomic_write(output.with_suffix(".csv")) as temporary:
        pa.csv.write_csv(findings, temporary)
    return findings


def _notes(embeddings: Path, table: pa.Table) -> list[str]:
    """What `timbral audit` found about each utterance, when it was run on the folder."""
    path = embeddings / AUDIT
    if not path.exists():
        return [""] * table.num_rows
    findings = pa.parquet.read_table(path)
    return notes(findings, table["utterance"].to_pylist(), table["speaker"].to_pylist())


def draw_map(
    embeddings: Path, output: Path, progress: Progress = lambda done, total: None
) -> tuple[Path, voicemap.PageSummary]:
    """Draw an `embed` folder as a page (HTML) and, beside it, a plot (PNG).

    Returns the plot's path and what the page holds. Utterances that the folder's audit found
    something about are ringed on the page.
    """
    projection.check_installed()
    table = read_embeddings(embeddings)
    points = projection.project(vectors_of(table))
    speakers = table["speaker"].to_pylist()
    title = f"{len(speakers):,} utterances of {len(set(speakers)):,} speakers"
    plot = output.with_suffix(".png")
    draw_scatter(points, speakers, plot, title=title)
    marks = [
        voicemap.Point(row["utterance"], row["speaker"], row["path"], float(x), float(y), note)
        for row, (x, y), note in zip(
            table.select(["utterance", "speaker", "path"]).to_pylist(),
            points,
            _notes(embeddings, table),
            strict=True,
        )
    ]
    return plot, voicemap.write_voice_map(marks, output, title="Voice map", progress=progress)
