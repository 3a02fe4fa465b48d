"""An inspection as text for the terminal, and as a self-contained page."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from timbral.data.corpora.passed_over import describe_passed_over
from timbral.data.inspect.inspection import MEASURED_UTTERANCES, Inspection
from timbral.io.durations import duration
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind
from timbral.io.types import Ints
from timbral.reports.histogram import bar_chart, histogram, short_number
from timbral.reports.html_tables import html_rows, html_table

__all__ = ["INSPECTION_PAGE", "describe", "write_inspection"]

INSPECTION_PAGE = FileKind("a page that `inspect` wrote", signature=b'content="timbral inspect"')

BARS = "▁▂▃▄▅▆▇█"
MAX_ROWS = 1_000
PER_SPEAKER = "utterances per speaker"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="generator" content="timbral inspect">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d1d1f; background: #fff }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere }}
h1 + table td:first-child {{ white-space: nowrap }}
h2 {{ font-size: 1.1rem; margin-top: 2rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd;
  vertical-align: top; overflow-wrap: anywhere }}
svg {{ width: 100%; max-width: 40rem; height: auto }} rect {{ fill: #3b6ea5 }}
text {{ font: 11px system-ui, sans-serif; fill: currentColor }}
@media (max-width: 40rem) {{ text {{ font-size: 15px }} .listed th {{ display: none }}
  .listed td {{ display: block; border: 0; padding: 0 }}
  .listed td:last-child {{ border-bottom: 1px solid #8888; padding-bottom: .4rem }}
  .listed td:first-child {{ font-weight: 600; padding-top: .4rem }} }}
@media (prefers-color-scheme: dark) {{ body {{ color: #eee; background: #1d1d1f }}
  td, th {{ border-color: #444 }} rect {{ fill: #7fb0e0 }} }}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""


def facts(inspection: Inspection) -> dict[str, str]:
    """The numbers of an inspection as text, by name."""
    rates = ", ".join(f"{rate} Hz ({count:,})" for rate, count in inspection.rates.most_common())
    groups = inspection.duplicates
    counted = inspection.suspects_by_kind().most_common()
    suspects = ", ".join(f"{kind} ({count:,})" for kind, count in counted)
    copies = f"{sum(map(len, groups)):,} in {_groups(len(groups))} with equal content"
    lines = {
        "kind": inspection.kind,
        "utterances": f"{inspection.utterances:,}, {duration(3600 * inspection.hours)}",
        "speakers": f"{inspection.speakers:,}, with {_per_speaker(inspection.per_speaker)}",
        "sessions": f"{inspection.sessions:,}" if inspection.sessions else "none",
        "rates": rates or "unknown",
        "duplicates": copies if groups else "none",
        "suspicious": suspects or "nothing",
    }
    if inspection.passed_over:
        lines["other files"] = describe_passed_over(inspection.passed_over)
    if inspection.measured:
        lines["measured"] = _measured(inspection.measured, inspection.utterances)
    return lines


def _measured(measured: int, utterances: int) -> str:
    """How many of the utterances have a level, and how they were chosen."""
    if measured == utterances:
        return "every utterance" if utterances > 1 else "the utterance"
    spread = ", evenly spread" if utterances > MEASURED_UTTERANCES else ""
    return f"{measured:,} of {utterances:,} utterances{spread}"


def _groups(number: int) -> str:
    return f"{number:,} {'group' if number == 1 else 'groups'}"


def _per_speaker(counts: Ints) -> str:
    """How many utterances speakers have, from the number of each."""
    fewest, most = int(counts.min()), int(counts.max())
    if fewest == most:
        return f"{most:,} {'utterance' if most == 1 else 'utterances'} each"
    return f"{fewest:,} to {most:,} utterances each (median {np.median(counts):.0f})"


def _histograms(inspection: Inspection) -> dict[str, tuple[ArrayLike, str]]:
    charts: dict[str, tuple[ArrayLike, str]] = {"duration": (inspection.seconds, "s")}
    if inspection.rms_dbfs:
        charts["RMS level"] = (inspection.rms_dbfs, "dBFS")
    return charts | {PER_SPEAKER: (inspection.per_speaker, "")}


def describe(inspection: Inspection) -> str:
    """The inspection as lines of text, with histograms made of block characters."""
    lines = [f"{name:13} {value}" for name, value in facts(inspection).items()]
    for name, (values, unit) in _histograms(inspection).items():
        counts, edges = histogram(values)
        top = max(counts)
        bars = "".join(BARS[-(-7 * count // top)] if count else " " for count in counts)
        data = np.asarray(values)
        if data.size and data.min() == data.max():
            shown = f"{short_number(data.max())} {unit}".rstrip() + ", all of them"
        else:
            low = data.min() if data.size else edges[0]
            shown = f"{short_number(low, 3)} {bars} {short_number(edges[-1], 3)} {unit}".rstrip()
        lines.append(f"{name:13} {shown}")
    return "\n".join(lines)


def write_inspection(inspection: Inspection, path: Path) -> None:
    """Write an inspection as HTML; `path` is replaced at once."""
    sections = [html_table(facts(inspection).items())]
    for name, (values, unit) in _histograms(inspection).items():
        head = escape(name[0].upper() + name[1:] + (f" ({unit})" if unit else ""))
        counted = "speakers" if name == PER_SPEAKER else "utterances"
        sections.append(f"<h2>{head}, number of {counted}</h2>")
        sections.append(bar_chart(*histogram(values)))
    if inspection.duplicates:
        groups = [("<br>".join(map(escape, group)),) for group in inspection.duplicates]
        sections.append(f"<h2>Duplicates</h2>{html_rows(groups[:MAX_ROWS])}")
    if inspection.suspects:
        shown = [(item.utterance, item.reason, item.path) for item in inspection.suspects]
        note = f", the first {MAX_ROWS:,}" if len(shown) > MAX_ROWS else ""
        sections.append(f"<h2>Suspicious recordings{note}</h2>")
        listed = html_table(shown[:MAX_ROWS], ("utterance", "why", "path"))
        sections.append(f'<div class="listed">{listed}</div>')
    with atomic_write(path) as temporary:
        page = PAGE.format(title=escape(inspection.source), body="".join(sections))
        temporary.write_text(page, "utf-8")
