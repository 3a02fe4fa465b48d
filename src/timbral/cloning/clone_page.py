"""Write a comparison of clones as one HTML page: figures between their anchors, and audio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

import numpy as np

from timbral.cloning.clone_figures import SystemDifference, SystemFigures
from timbral.cloning.encoder_view import EncoderView
from timbral.cloning.gaming import GamingFlag
from timbral.errors import MissingExtraError
from timbral.io.files import atomic_write
from timbral.plots.anchored_values import AnchoredValues, draw_anchored_values
from timbral.reports.html_tables import html_player, html_rows, html_table
from timbral.reports.voice_clips import encode_clips
from timbral.scoring.intervals import Interval

__all__ = ["CLONE_PAGE", "write_clone_page"]

CLONE_PAGE = "report.html"
PLOT = "similarity.png"
PLAYED_PER_END = 8
"""clones of each system to play: this many of the least similar, and of the most similar ones"""
CLIP_SECONDS = 8.0
MAX_CLIP_BYTES = 4e6
MAX_SPEAKERS = 200
ROWS_SHOWN = 12
"""longer tables are folded; the table of systems scrolls"""
UNKNOWN = "–"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="generator" content="timbral similarity">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; media-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Similarity</title>
<style>
:root {{ color-scheme: light dark; --ink: #1d1d1f; --paper: #fff; --line: #d5d5d8;
  --mean: #2b5fb8; --warn: #a3341b }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #eee; --paper: #1d1d1f; --line: #444;
  --mean: #8ab4ff; --warn: #f0937c }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; color: var(--ink); background: var(--paper) }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.1rem; margin-top: 2rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere }}
th {{ overflow-wrap: normal }} pre {{ white-space: pre-wrap; font-size: .85rem }}
.systems td {{ overflow-wrap: break-word }}
.box {{ max-height: 32rem; overflow: auto; border-bottom: 2px solid var(--line) }}
.box th {{ position: sticky; top: 0; background: var(--paper) }}
summary {{ cursor: pointer; padding: .3rem 0 }} details h2 {{ display: inline; margin: 0 }}
details h3 {{ display: inline; font-size: 1rem; font-weight: 500 }}
.warn {{ color: var(--warn); font-weight: 600 }}
svg {{ width: 14rem; height: 1.6rem; display: block }}
.axis {{ stroke: var(--line); stroke-width: 2 }} .range {{ stroke: var(--mean); stroke-width: 5;
  opacity: .45 }}
.mean {{ fill: var(--mean) }}
audio {{ width: 14rem; height: 2rem; display: block }}
@media (max-width: 60rem) {{ table {{ display: block; overflow-x: auto }}
  td {{ overflow-wrap: break-word }} svg, audio {{ width: 9rem }} }}
</style></head><body><h1>Similarity of clones to their references</h1>{body}</body></html>
"""


def write_clone_page(
    folder: Path,
    views: Sequence[EncoderView],
    figures: Sequence[SystemFigures],
    differences: Sequence[SystemDifference],
    flags: Sequence[GamingFlag],
    lines: Sequence[str],
    notes: Sequence[str],
) -> None:
    """Write report.html, and similarity.png if matplotlib is installed."""
    with suppress(MissingExtraError):  # the page has the figures anyway
        draw_anchored_values(folder / PLOT, [_anchored(view) for view in views])
    sections = [
        _flags(flags),
        *(f"<p>{escape(note)}</p>" for note in notes),
        _systems(figures),
        _differences(differences),
        _lines(lines, views),
        _clones(views),
        _speakers(figures),
    ]
    with atomic_write(folder / CLONE_PAGE) as temporary:
        temporary.write_text(PAGE.format(body="".join(sections)), "utf-8")


def _anchored(view: EncoderView) -> AnchoredValues:
    systems = dict.fromkeys(clone.system for clone in view.clones)
    of_system = {
        system: view.cosines[[clone.system == system for clone in view.clones]]
        for system in systems
    }
    return AnchoredValues(view.encoder, of_system, view.same, view.other)


def _flags(flags: Sequence[GamingFlag]) -> str:
    """The warnings; if there are many, all but the first few are folded."""
    lines = [f'<p class="warn">{escape(str(flag))}</p>' for flag in flags]
    more = "".join(lines[ROWS_SHOWN // 2 :])
    first = "".join(lines[: ROWS_SHOWN // 2])
    return f"{first}{_folded(f'{len(flags)} warnings in all', more)}" if more else first


def _folded(title: str, content: str, *, is_open: bool = False, level: int = 2) -> str:
    """A section that its title opens and closes."""
    return (
        f"<details{' open' if is_open else ''}><summary><h{level}>{escape(title)}</h{level}>"
        f"</summary>{_box(content)}</details>"
    )


def _box(content: str) -> str:
    """A part of limited height that scrolls."""
    return f'<div class="box" tabindex="0">{content}</div>'


def _systems(figures: Sequence[SystemFigures]) -> str:
    rows = [
        (
            escape(each.system),
            escape(each.encoder),
            f"<b>{each.mean:.3f}</b>{_range(each.interval)}",
            _number(each.same),
            _number(each.other),
            _bar(each),
            _number(each.percentile, 0, " %"),
            _number(100 * each.probability, 0, " %"),
            f"{each.num_clones:,} / {each.num_speakers:,}",
        )
        for each in figures
    ]
    head = (
        "system", "encoder", "cosine (95 %)", "same speaker", "nearest other", "position",
        "percentile", "probability", "clones / speakers",
    )  # fmt: skip
    legend = (
        "<p>The anchors are real recordings compared with the same references: of the same "
        "speaker, and of the nearest other one. The position is 0 at the nearest other speaker "
        "and 1 at the same speaker; above 1, clones are closer to their references than other "
        "recordings of the speaker are. The percentile is that of the median clone among real "
        "pairs of one speaker. The probability of the same speaker is for prior 0.5.</p>"
    )
    title = f"Systems ({len({each.system for each in figures}):,})"
    table = f'<div class="systems">{_box(html_rows(rows, head))}</div>'
    return f"<h2>{title}</h2>{table}{legend}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f" ({interval.low:.3f} to {interval.high:.3f})"


def _number(value: float, digits: int = 3, unit: str = "") -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}{unit}"


def _bar(figures: SystemFigures) -> str:
    """A line from the nearest other speaker (0) to the same one (1), marked at the mean."""
    if math.isnan(figures.position):
        return UNKNOWN

    def x(position: float) -> float:
        return 20 + 160 * min(max(position, -0.1), 1.1)

    interval = figures.position_interval
    span = (
        f'<line class="range" x1="{x(interval.low):.1f}" x2="{x(interval.high):.1f}" y1="12" '
        'y2="12"/>'
        if interval is not None
        else ""
    )
    return (
        f'{figures.position:.2f}<svg viewBox="0 0 200 24" role="img" '
        f'aria-label="position {figures.position:.2f}">'
        '<line class="axis" x1="20" x2="180" y1="12" y2="12"/>'
        '<line class="axis" x1="20" x2="20" y1="5" y2="19"/>'
        '<line class="axis" x1="180" x2="180" y1="5" y2="19"/>'
        f'{span}<circle class="mean" cx="{x(figures.position):.1f}" cy="12" r="5"/></svg>'
    )


def _differences(differences: Sequence[SystemDifference]) -> str:
    if not differences:
        return ""
    rows = [
        (
            f"{each.first} – {each.second}",
            each.encoder,
            f"{each.mean:+.3f}{_range(each.interval)}",
            "yes" if each.is_clear else "not shown" if each.interval else UNKNOWN,
            f"{each.num_clones:,}",
        )
        for each in differences
    ]
    head = ("systems", "encoder", "difference (95 %)", "clear", "clones of both")
    title = f"Systems compared, utterance by utterance ({len(rows):,})"
    return _folded(title, html_table(rows, head), is_open=len(rows) <= ROWS_SHOWN)


def _lines(lines: Sequence[str], views: Sequence[EncoderView]) -> str:
    """The lines for a paper, and the whole hash of each encoder's weights."""
    text = "\n".join(map(escape, lines))
    rows = [(view.encoder, view.weights_sha256) for view in views]
    hashes = html_table(rows, ("encoder", "SHA-256 of its weights"))
    is_open = len(lines) <= ROWS_SHOWN
    return _folded("Lines for a paper", f"<pre>{text}</pre>{hashes}", is_open=is_open)


def _clones(views: Sequence[EncoderView]) -> str:
    """The least and most similar clones of each system by the first encoder, with audio players."""
    view = views[0]
    cosines = [
        {
            (clone.system, clone.synthesized): float(value)
            for clone, value in zip(each.clones, each.cosines, strict=True)
        }
        for each in views
    ]
    chosen: dict[str, list[int]] = {}
    for system in dict.fromkeys(clone.system for clone in view.clones):
        rows = [row for row, clone in enumerate(view.clones) if clone.system == system]
        order = [rows[row] for row in np.argsort(view.cosines[rows], kind="stable").tolist()]
        chosen[system] = list(dict.fromkeys([*order[:PLAYED_PER_END], *order[-PLAYED_PER_END:]]))
    used = sorted(
        {
            path
            for rows in chosen.values()
            for row in rows
            for path in (view.clones[row].synthesized, view.clones[row].references[0])
        }
    )
    clips = encode_clips(
        used, used, seconds=CLIP_SECONDS, max_bytes=MAX_CLIP_BYTES, on_clip=lambda count: None
    )
    clip_of = dict(zip(used, clips.addresses, strict=True))
    head = ("clone", "reference", *(view.encoder for view in views))
    sections: list[str] = []
    is_open = len(chosen) <= ROWS_SHOWN
    for system, rows in chosen.items():
        cells = [
            (
                html_player(view.clones[row].name, clip_of[view.clones[row].synthesized]),
                html_player(view.clones[row].speaker, clip_of[view.clones[row].references[0]]),
                *(
                    _number(values.get((system, view.clones[row].synthesized), math.nan))
                    for values in cosines
                ),
            )
            for row in rows
        ]
        table = html_rows(cells, head)
        sections.append(_folded(system, table, is_open=is_open and not sections, level=3))
    title = f"Clones with audio, least similar first by {view.encoder}"
    listed = "".join(sections)
    shown = listed if is_open else _box(listed)
    return f"<h2>{escape(title)}</h2>{shown}"


def _speakers(figures: Sequence[SystemFigures]) -> str:
    rows = [
        (speaker, each.system, each.encoder, f"{mean:.3f}")
        for each in figures
        for speaker, mean in sorted(each.of_speakers.items(), key=lambda item: item[1])
    ]
    more = f", the first {MAX_SPEAKERS}" if len(rows) > MAX_SPEAKERS else ""
    head = ("speaker", "system", "encoder", "mean cosine")
    table = html_table(rows[:MAX_SPEAKERS], head)
    return _folded(f"Speakers{more}", table, is_open=len(rows) <= ROWS_SHOWN)
