"""An evaluation as one page: figures, curves, speakers, and the worst errors to listen to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from timbral.io.files import atomic_write
from timbral.io.types import Ints
from timbral.reports.html_tables import html_rows, html_table
from timbral.reports.voice_clips import encode_clips
from timbral.scoring.condition_figures import Condition, condition_rows
from timbral.scoring.figures import Figures
from timbral.scoring.list_scores import ListScores
from timbral.scoring.metrics import error_rates
from timbral.scoring.score_file import ScoredList

__all__ = ["EVALUATION_PAGE", "write_evaluation_page"]

EVALUATION_PAGE = "report.html"
"""in the folder of an evaluation"""
WORST = 10
"""errors of each kind that can be listened to"""
CLIP_SECONDS = 8.0
MAX_CLIP_BYTES = 4e6
MAX_SPEAKERS = 200
BINS = 60
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""rates on the axes of the DET curve"""
SIZE, LEFT, TOP = 360, 46, 10
"""of a plot, in its own units"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="generator" content="timbral evaluate">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; media-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1d1d1f; --paper: #fff; --line: #d5d5d8;
  --target: #1b7f5c; --other: #b4472e }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #eee; --paper: #1d1d1f; --line: #444;
  --target: #5fcfa5; --other: #f0937c }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; color: var(--ink); background: var(--paper) }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere }} h2 {{ font-size: 1.1rem; margin-top: 2rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere }}
.plots {{ display: flex; flex-wrap: wrap; gap: 2rem }} figure {{ margin: 0; flex: 1 1 22rem }}
svg {{ width: 100%; max-width: 30rem; height: auto }}
svg text {{ font: 11px system-ui, sans-serif; fill: currentColor }}
.axis {{ stroke: var(--line); fill: none }} .curve {{ fill: none; stroke-width: 2 }}
.target {{ stroke: var(--target) }} .other {{ stroke: var(--other) }}
.cut {{ stroke: currentColor; stroke-dasharray: 4 3 }}
audio {{ width: 14rem; height: 2rem; display: block }}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""


def write_evaluation_page(
    path: Path,
    title: str,
    figures: Figures,
    done: ListScores,
    locations: Sequence[str],
    note: str = "",
) -> None:
    """Write the page.

    Args:
        path: the file, replaced at once
        title: what was evaluated on what
        figures: of these trials
        done: labeled trials, their scores, and figures by condition
        locations: a path or URL of a recording of each name in the list (K,)
        note: what to know of the figures
    """
    scored = done.scored
    sections = [
        f"<p><strong>{escape(note)}</strong></p>" if note else "",
        _facts(figures),
        '<div class="plots">',
        f"<figure>{_det(figures, scored)}</figure><figure>{_histograms(figures, scored)}</figure>",
        "</div>",
        _by_condition(done.conditions),
        _worst(figures, scored, locations),
        _by_speaker(figures, scored, done.speakers),
    ]
    with atomic_write(path) as temporary:
        page = PAGE.format(title=escape(title), body="".join(sections))
        temporary.write_text(page, "utf-8")


def _facts(figures: Figures) -> str:
    interval = figures.eer_interval
    shown = (
        escape(figures.interval_note)
        if interval is None
        else f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %"
    )
    rows = [
        ("EER", f"{100 * figures.eer:.2f} %", shown),
        ("EER on the convex hull", f"{100 * figures.eer_hull:.2f} %", ""),
    ]
    for prior, cost in figures.min_dcf.items():
        bounds = figures.min_dcf_intervals.get(prior)
        rows.append(
            (
                f"minDCF({prior:g})",
                f"{cost:.3f}",
                "" if bounds is None else f"{bounds.low:.3f} to {bounds.high:.3f}",
            )
        )
    rows += [
        ("min Cllr", f"{figures.min_cllr:.3f} bits", ""),
        ("threshold at the EER", f"{figures.threshold:.4f}", ""),
        ("trials", f"{figures.num_trials:,}, {figures.num_targets:,} of them target trials", ""),
        ("speakers", f"{figures.num_speakers:,}", ""),
    ]
    return html_table(rows, ("", "", "95 % interval over speakers"))


def _by_condition(conditions: Sequence[Condition]) -> str:
    """A table of each column."""
    sections = []
    for column in dict.fromkeys(each.column for each in conditions):
        chosen = [each for each in conditions if each.column == column]
        head, *rows = condition_rows(chosen)
        sections.append(f"<h2>By {escape(column)}</h2>{html_table(rows, head)}")
    return "".join(sections)


def _det(figures: Figures, scored: ScoredList) -> str:
    """Miss over false alarm on probit axes: normal scores give a straight line."""
    rates = error_rates(scored.scores, scored.trials.labels)
    both = np.stack([rates.miss, rates.false_alarm])
    rows = np.flatnonzero(((both >= TICKS[0]) & (both <= TICKS[-1])).all(axis=0))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, 400).astype(int))] if len(rows) else rows
    points = [(_probit(rates.false_alarm[row]), _probit(rates.miss[row])) for row in rows.tolist()]
    marks = []
    for rate in TICKS:
        at, shown = _probit(rate), f"{100 * rate:g}"
        marks.append(f'<path class="axis" d="M{LEFT} {SIZE - at:.1f}H{LEFT + SIZE}"/>')
        marks.append(f'<path class="axis" d="M{LEFT + at:.1f} {TOP}V{SIZE}"/>')
        marks.append(
            f'<text x="{LEFT - 4}" y="{SIZE - at + 4:.1f}" text-anchor="end">{shown}</text>'
        )
        marks.append(
            f'<text x="{LEFT + at:.1f}" y="{SIZE + 14}" text-anchor="middle">{shown}</text>'
        )
    line = _path([(LEFT + x, SIZE - y) for x, y in points])
    eer = _probit(figures.eer)
    marks.append(f'<path class="curve target" d="{line}"/>')
    marks.append(f'<circle cx="{LEFT + eer:.1f}" cy="{SIZE - eer:.1f}" r="4"/>')
    label = (
        f'<text x="{LEFT + SIZE / 2}" y="{SIZE + 32}" text-anchor="middle">false alarms, %</text>'
    )
    return _svg("DET curve: misses (%) over false alarms (%); the point is the EER", marks, label)


def _probit(rate: float) -> float:
    """Place of a rate on an axis, from the lowest tick to the highest."""
    low, high = (NormalDist().inv_cdf(tick) for tick in (TICKS[0], TICKS[-1]))
    inside = min(max(float(rate), TICKS[0]), TICKS[-1])
    return (NormalDist().inv_cdf(inside) - low) / (high - low) * (SIZE - TOP)


def _histograms(figures: Figures, scored: ScoredList) -> str:
    """Scores of target and non-target trials, each as high as the other, and the threshold."""
    finite = scored.scores[np.isfinite(scored.scores)]
    low, high = float(finite.min()), float(finite.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    marks = []
    for label, style in ((1, "target"), (0, "other")):
        counts, _ = np.histogram(
            finite[scored.trials.labels[np.isfinite(scored.scores)] == label], edges
        )
        heights = (SIZE - TOP) * counts / max(int(counts.max()), 1)
        xs = LEFT + SIZE * np.arange(BINS + 1) / BINS
        steps = [(xs[0], float(SIZE))]
        for index, height in enumerate(heights):
            steps += [(xs[index], SIZE - height), (xs[index + 1], SIZE - height)]
        marks.append(f'<path class="curve {style}" d="{_path(steps)}"/>')
    cut = LEFT + SIZE * (figures.threshold - edges[0]) / (edges[-1] - edges[0])
    marks.append(f'<path class="cut" d="M{cut:.1f} {TOP}V{SIZE}"/>')
    marks.append(f'<path class="axis" d="M{LEFT} {SIZE}H{LEFT + SIZE}"/>')
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = edges[0] + fraction * (edges[-1] - edges[0])
        x = LEFT + SIZE * fraction
        marks.append(f'<text x="{x:.0f}" y="{SIZE + 14}" text-anchor="middle">{value:.2f}</text>')
    label_text = f'<text x="{LEFT + SIZE / 2}" y="{SIZE + 32}" text-anchor="middle">score</text>'
    return _svg(
        "Scores: target trials green, non-target trials red, the threshold at the EER dashed",
        marks,
        label_text,
    )


def _svg(caption: str, marks: Iterable[str], label: str) -> str:
    box = f"0 0 {LEFT + SIZE + 14} {SIZE + 40}"
    return (
        f'<svg viewBox="{box}" role="img" aria-label="{caption}">{"".join(marks)}{label}</svg>'
        f"<figcaption>{caption}</figcaption>"
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


def _worst(figures: Figures, scored: ScoredList, locations: Sequence[str]) -> str:
    """The surest errors of both kinds, with both recordings to listen to."""
    labels, scores = scored.trials.labels, scored.scores
    accepted = scores >= figures.threshold
    false_accepts = np.flatnonzero((labels == 0) & accepted)
    misses = np.flatnonzero((labels == 1) & ~accepted)
    kinds = (
        (
            "False accepts: two speakers, a high score",
            false_accepts[np.argsort(-scores[false_accepts])],
        ),
        ("Misses: one speaker, a low score", misses[np.argsort(scores[misses])]),
    )
    chosen = [rows[:WORST].tolist() for _, rows in kinds]
    names = scored.trials.names.to_pylist()
    pairs = [
        (names[scored.trials.first[r]], names[scored.trials.second[r]])
        for rows in chosen
        for r in rows
    ]
    used = sorted({name for pair in pairs for name in pair})
    of_names = dict(zip(names, locations, strict=True))
    paths = [of_names[name] for name in used]
    clips = encode_clips(
        paths, used, seconds=CLIP_SECONDS, max_bytes=MAX_CLIP_BYTES, on_clip=lambda count: None
    )
    sound = dict(zip(used, clips.base64_mp3, strict=True))
    sections = []
    for (title, rows), shown in zip(kinds, chosen, strict=True):
        cells = [
            (
                f"{scores[row]:.3f}",
                *(
                    _player(names[side[row]], sound)
                    for side in (scored.trials.first, scored.trials.second)
                ),
            )
            for row in shown
        ]
        body = html_rows(cells) if cells else "<p>None.</p>"
        more = f", the surest {len(shown)} of {len(rows):,}" if len(rows) > len(shown) else ""
        sections.append(f"<h2>{title}{more}</h2>{body}")
    return "".join(sections)


def _player(name: str, sound: dict[str, str]) -> str:
    clip = sound[name]
    audio = (
        f'<audio controls preload="none" src="data:audio/mpeg;base64,{clip}"></audio>'
        if clip
        else ""
    )
    return f"{escape(name)}{audio}"


def _by_speaker(figures: Figures, scored: ScoredList, speakers: Ints) -> str:
    """Errors of each speaker at the EER's threshold, the worst first."""
    trials = scored.trials
    first, second = speakers[trials.first], speakers[trials.second]
    count = int(speakers.max()) + 1
    accepted = scored.scores >= figures.threshold
    target = trials.labels == 1
    totals, errors = _counts(first, second, target, ~accepted, count)
    others, accepts = _counts(first, second, ~target, accepted, count)
    names = trials.names.to_pylist()
    example = {int(speakers[row]): str(names[row]) for row in range(len(names) - 1, -1, -1)}
    rate = np.divide(errors, np.maximum(totals, 1)) + np.divide(accepts, np.maximum(others, 1))
    order = [
        code for code in np.argsort(-rate, kind="stable").tolist() if totals[code] + others[code]
    ]
    rows = [
        (
            example[code],
            f"{errors[code]:,} of {totals[code]:,}",
            f"{accepts[code]:,} of {others[code]:,}",
        )
        for code in order[:MAX_SPEAKERS]
    ]
    note = f", the worst {MAX_SPEAKERS}" if len(order) > MAX_SPEAKERS else ""
    head = ("speaker of", "misses", "false accepts")
    return f"<h2>Speakers{note}</h2>{html_table(rows, head)}"


def _counts(
    first: Ints, second: Ints, kind: NDArray[np.bool_], error: NDArray[np.bool_], count: int
) -> tuple[Ints, Ints]:
    """Trials of a kind that a speaker takes part in, and the errors among them."""
    totals = []
    for rows in (kind, kind & error):
        both = np.bincount(first[rows], minlength=count)
        different = rows & (first != second)
        totals.append(both + np.bincount(second[different], minlength=count))
    return totals[0], totals[1]
