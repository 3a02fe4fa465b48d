"""The page of an evaluation: figures, plots, errors by speaker, and the worst errors as audio."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbral.errors import MissingExtraError
from timbral.io.files import atomic_write
from timbral.io.types import Ints
from timbral.reports.error_curves import CalibrationCurve, Curves, DetCurve, ScoreHistograms
from timbral.reports.html_tables import html_player, html_rows, html_table
from timbral.reports.voice_clips import encode_clips
from timbral.scoring.condition_figures import Condition
from timbral.scoring.condition_table import condition_rows
from timbral.scoring.figures import Figures
from timbral.scoring.intervals import Interval
from timbral.scoring.list_scores import ListScores
from timbral.scoring.metrics import ThresholdRates
from timbral.scoring.score_file import ScoredList

__all__ = ["EVALUATION_PAGE", "write_evaluation_page"]

EVALUATION_PAGE = "report.html"
"""name of the page in the folder of an evaluation"""
WORST = 10
"""number of false accepts and of misses that can be played"""
CLIP_SECONDS = 8.0
MAX_CLIP_BYTES = 4e6
MAX_SPEAKERS = 200

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
  vertical-align: top }}
td {{ overflow-wrap: anywhere }} .errors td:first-child {{ white-space: nowrap }}
.figures td {{ overflow-wrap: normal }}
.wide {{ overflow-x: auto; font-size: .8rem }} .wide td {{ overflow-wrap: normal }}
.wide td, .wide th {{ padding-right: .6rem }} .wide td:first-child {{ white-space: nowrap }}
.plots {{ display: flex; flex-wrap: wrap; gap: 2rem }} figure {{ margin: 0; flex: 1 1 22rem }}
svg {{ width: 100%; max-width: 30rem; height: auto }}
svg text {{ font: 11px system-ui, sans-serif }} svg text, .point {{ fill: currentColor }}
.axis {{ stroke: var(--line); fill: none }} .curve {{ fill: none; stroke-width: 2 }}
.target {{ stroke: var(--target) }} .other {{ stroke: var(--other) }}
.cut {{ stroke: currentColor; stroke-dasharray: 4 3; fill: none }}
audio {{ width: 100%; max-width: 14rem; height: 2rem; display: block }}
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
    """Write the page and, if matplotlib is installed, its plots next to it as PNG.

    The plots are det.png, scores.png and calibration.png.

    Args:
        path: the page's file, replaced at once
        title: the encoder and the list
        figures: the figures of these trials
        done: the labeled trials, their scores, and figures by condition
        locations: the path or URL of a recording for each of the list's names (K,)
        note: a remark on the figures
    """
    scored = done.scored
    plots: dict[str, Curves] = {
        "det.png": DetCurve.of(figures, scored),
        "scores.png": ScoreHistograms.of(figures, scored),
        "calibration.png": CalibrationCurve.of(scored),
    }
    with suppress(MissingExtraError):  # the page contains the plots anyway
        for name, curves in plots.items():
            curves.write_png(path.with_name(name), title)
    sections = [
        f"<p><strong>{escape(note)}</strong></p>" if note else "",
        _facts(figures),
        _calibrated(figures),
        '<div class="plots">',
        *(f"<figure>{curves.svg()}</figure>" for curves in plots.values()),
        "</div>",
        _by_condition(done.conditions),
        _worst(figures, scored, locations),
        _by_speaker(figures, done),
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
        bounds = _bounds(figures.min_dcf_intervals.get(prior))
        rows.append((f"minDCF({prior:g})", f"{cost:.3f}", bounds))
    rows += [
        ("min Cllr", f"{figures.min_cllr:.3f} bits", _bounds(figures.min_cllr_interval)),
        ("threshold at the EER", f"{figures.threshold:.4f}", ""),
        *(_threshold_row(rate, point) for rate, point in figures.operating_points.items()),
        ("trials", f"{figures.num_trials:,}, {figures.num_targets:,} of them target trials", ""),
        ("speakers", f"{figures.num_speakers:,}", ""),
    ]
    table = html_table(rows, ("", "", "95 % interval over speakers"))
    note = figures.interval_note if interval is not None else ""
    shown = escape(note).replace("`speakers`", "<code>--speakers</code>")
    return f"<div class=figures>{table}</div>{f'<p>{shown}</p>' if note else ''}"


def _calibrated(figures: Figures) -> str:
    """Costs of the calibration's log-likelihood ratios, with remarks."""
    costs = figures.calibrated
    note = f"<p>{escape(figures.calibration_note)}</p>" if figures.calibration_note else ""
    if costs is None:
        return note
    rows = [("Cllr", f"{costs.cllr:.3f} bits", _bounds(costs.cllr_interval))]
    rows.append(("min Cllr (these scores, best calibrated)", f"{costs.min_cllr:.3f} bits", ""))
    for prior, cost in costs.actual_dcf.items():
        interval = costs.actual_dcf_intervals.get(prior)
        rows.append((f"actual DCF({prior:g})", f"{cost:.3f}", _bounds(interval)))
        rows.append((f"min DCF({prior:g}) (best threshold)", f"{costs.min_dcf[prior]:.3f}", ""))
    rows.append(("EER", f"{100 * costs.eer:.2f} %", ""))
    table = html_table(rows, ("", "", "95 % interval over speakers"))
    title = f"Log-likelihood ratios of the calibration ({costs.description or 'no description'})"
    return f"<h2>{escape(title)}</h2><div class=figures>{table}</div>{note}"


def _bounds(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"


def _threshold_row(rate: float, point: ThresholdRates) -> tuple[str, str, str]:
    threshold = "above every score" if point.threshold is None else f"{point.threshold:.4f}"
    return (
        f"threshold at {100 * rate:g} % false accepts",
        f"{threshold}, {100 * point.false_reject:.2f} % false rejects",
        "",
    )


def _by_condition(conditions: Sequence[Condition]) -> str:
    """A table of figures for each condition."""
    sections = []
    for column in dict.fromkeys(each.column for each in conditions):
        chosen = [each for each in conditions if each.column == column]
        head, *rows = condition_rows(chosen)
        table = f'<div class="wide" tabindex="0">{html_table(rows, head)}</div>'
        sections.append(f"<h2>By {escape(column)}</h2>{table}")
    return "".join(sections)


def _worst(figures: Figures, scored: ScoredList, locations: Sequence[str]) -> str:
    """The clearest false accepts and misses, with both recordings to play."""
    labels, scores = scored.trials.labels, scored.scores
    accepted = scores >= figures.threshold
    false_accepts = np.flatnonzero((labels == 0) & accepted)
    misses = np.flatnonzero((labels == 1) & ~accepted)
    kinds = (
        (
            "False accepts: different speakers, high score",
            false_accepts[np.argsort(-scores[false_accepts])],
        ),
        ("Misses: same speaker, low score", misses[np.argsort(scores[misses])]),
    )
    chosen = [rows[:WORST].tolist() for _, rows in kinds]
    names = scored.trials.names.to_pylist()
    pairs = [
        (names[scored.trials.first[r]], names[scored.trials.second[r]])
        for rows in chosen
        for r in rows
    ]
    used = sorted({name for pair in pairs for name in pair})
    location_of = dict(zip(names, locations, strict=True))
    paths = [location_of[name] for name in used]
    clips = encode_clips(
        paths, used, seconds=CLIP_SECONDS, max_bytes=MAX_CLIP_BYTES, on_clip=lambda count: None
    )
    clip_of = dict(zip(used, clips.addresses, strict=True))
    sections = []
    for (title, rows), shown in zip(kinds, chosen, strict=True):
        cells = [
            (
                f"{scores[row]:.3f}",
                *(
                    html_player(names[side[row]], clip_of[names[side[row]]])
                    for side in (scored.trials.first, scored.trials.second)
                ),
            )
            for row in shown
        ]
        body = f'<div class="errors">{html_rows(cells)}</div>' if cells else "<p>None.</p>"
        more = f", the {len(shown)} clearest of {len(rows):,}" if len(rows) > len(shown) else ""
        sections.append(f"<h2>{title}{more}</h2>{body}")
    return "".join(sections)


def _by_speaker(figures: Figures, done: ListScores) -> str:
    """Errors of each speaker at the threshold of the EER, worst speakers first."""
    scored, speakers, trials = done.scored, done.speakers, done.scored.trials
    first, second = speakers[trials.first], speakers[trials.second]
    count = int(speakers.max()) + 1
    accepted = scored.scores >= figures.threshold
    target = trials.labels == 1
    totals, errors = _counts(first, second, target, ~accepted, count)
    others, accepts = _counts(first, second, ~target, accepted, count)
    is_guessed = done.speaker_names is None
    names = (trials.names if done.speaker_names is None else done.speaker_names).to_pylist()
    name_of = {int(speakers[row]): str(names[row]) for row in range(len(names) - 1, -1, -1)}
    rate = np.divide(errors, np.maximum(totals, 1)) + np.divide(accepts, np.maximum(others, 1))
    order = [
        code for code in np.argsort(-rate, kind="stable").tolist() if totals[code] + others[code]
    ]
    rows = [
        (
            name_of[code],
            f"{errors[code]:,} of {totals[code]:,}",
            f"{accepts[code]:,} of {others[code]:,}",
        )
        for code in order[:MAX_SPEAKERS]
    ]
    note = f", the worst {MAX_SPEAKERS}" if len(order) > MAX_SPEAKERS else ""
    head = ("speaker of" if is_guessed else "speaker", "misses", "false accepts")
    return f"<h2>Speakers{note}</h2>{html_table(rows, head)}"


def _counts(
    first: Ints, second: Ints, kind: NDArray[np.bool_], error: NDArray[np.bool_], count: int
) -> tuple[Ints, Ints]:
    """Number of each speaker's trials of a kind, and of errors among them (S,)."""
    totals = []
    for rows in (kind, kind & error):
        both = np.bincount(first[rows], minlength=count)
        different = rows & (first != second)
        totals.append(both + np.bincount(second[different], minlength=count))
    return totals[0], totals[1]
