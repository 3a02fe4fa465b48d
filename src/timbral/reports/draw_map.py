"""The voice map of an `embed` folder: the page and the plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from timbral.bulk.readable_audio import ReadableAudio
from timbral.embeddings.audit.findings import notes
from timbral.embeddings.audit.findings_file import findings_path, read_findings
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.errors import ConfigError
from timbral.io.outputs import claim_file
from timbral.io.types import Progress
from timbral.plots import projection
from timbral.plots.png_figure import PLOT
from timbral.plots.scatter import draw_scatter
from timbral.reports.map_columns import map_columns
from timbral.reports.map_findings import OtherRecording, map_findings
from timbral.reports.voice_map import MAP_PAGE, PageSummary, Point, write_voice_map

__all__ = ["map"]


def map(
    embeddings: str | Path,
    output: str | Path,
    progress: Progress = lambda done, total: None,
    *,
    corpus: str | Path | None = None,
    other: str | Path | None = None,
) -> tuple[Path, PageSummary]:
    """Draw a map of the voices in an `embed` folder: a page on which a click plays an utterance.

    If `audit` was run, its findings are marked and listed, and can be played, both recordings of a
    pair in turn. With more than 2,000 utterances, the audio is next to the page, in the folder
    PAGE-sound.

    Args:
        embeddings: a folder from `embed`
        output: the page (.html); a plot of the same name (.png) is also written
        progress: called with the number of recordings read so far, and in all
        corpus: a folder or URL from which recordings may be read; None: the embedded corpus, if it
            is on this machine. Nothing else is read or downloaded, whatever the table names
        other: the `embed` folder that `audit` was given as `other`: findings of shared speakers
            play its recordings, too

    Returns:
        the plot's path, and the content of the page

    Raises DataError if `output` holds anything but an earlier map, ConfigError if `other` has none
    of the recordings that the findings name, MissingExtraError if the optional dependencies of
    [map] are not installed.
    """
    embeddings, output = Path(embeddings), Path(output)
    plot = output.with_suffix(".png")
    claim_file(output, MAP_PAGE, [embeddings])
    claim_file(plot, PLOT)
    projection.check_installed()
    table = read_embeddings(embeddings)
    findings = _findings(embeddings)
    others = {} if other is None else _others(other, findings)
    points = projection.project(vectors_of(table))
    speakers = table["speaker"].to_pylist()
    title = f"{len(speakers):,} utterances of {len(set(speakers)):,} speakers"
    undrawn = draw_scatter(points, speakers, plot, title=title)
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
            _notes(findings, table),
            strict=True,
        )
    ]
    summary = write_voice_map(
        marks,
        output,
        title="Voice map",
        columns=map_columns(embeddings),
        findings=[] if findings is None else map_findings(findings, table, others),
        progress=progress,
    )
    return plot, replace(summary, undrawn=undrawn)


def _findings(embeddings: Path) -> pa.Table | None:
    """The findings of an audit of the folder; None if there was none."""
    path = findings_path(embeddings)
    return read_findings(path) if path.exists() else None


def _others(embeddings: str | Path, findings: pa.Table | None) -> dict[str, OtherRecording]:
    """The recordings of another `embed` folder that findings of shared speakers name."""
    table = read_embeddings(embeddings).select(["utterance", "speaker", "path"])
    if findings is None:
        return {}
    shared = findings.filter(pc.equal(findings["kind"], "shared-speaker"))
    rows = table.filter(pc.is_in(table["utterance"], shared["other_utterance"])).to_pylist()
    if shared.num_rows and not rows:
        raise ConfigError(
            f"`other`: {embeddings} has none of the recordings that the audit found there; give "
            "the vectors that `audit` had as `other`"
        )
    audio = ReadableAudio(Path(embeddings), None)
    return {
        row["utterance"]: OtherRecording(**row, refusal=audio.refusal(row["path"])) for row in rows
    }


def _notes(findings: pa.Table | None, table: pa.Table) -> list[str]:
    """What the audit found about each utterance; "" if nothing."""
    if findings is None:
        return [""] * table.num_rows
    return notes(findings, table["utterance"].to_pylist(), table["speaker"].to_pylist())
