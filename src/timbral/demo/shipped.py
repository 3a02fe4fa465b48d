"""The synthetic voices that come with timbral, and those among them that are held out."""

from __future__ import annotations

from pathlib import Path

from timbral.data.manifest import Utterance
from timbral.data.sources import find_utterances
from timbral.inference.shipped_voices import VOICES
from timbral.io.files import atomic_write
from timbral.scoring.trials import draw_pairs

__all__ = ["VOICES", "num_voices", "write_held_out"]

HOLD_OUT_EVERY = 4
"""every fourth voice is held out from training, for the evaluation"""


def num_voices() -> int:
    """The number of voices."""
    return len(list(VOICES.glob("*/")))


def write_held_out(folder: Path) -> tuple[Path, Path]:
    """Write trials among the held-out voices, and the list of these voices; returns both paths."""
    utterances = find_utterances(VOICES)
    held_out = sorted({row.speaker for row in utterances})[::HOLD_OUT_EVERY]
    trials = _trials([row for row in utterances if row.speaker in held_out])
    return (
        _write(folder / "trials.txt", trials),
        _write(folder / "held-out-voices.txt", held_out),
    )


def _trials(rows: list[Utterance]) -> list[str]:
    pairs = draw_pairs([row.speaker for row in rows], max_per_kind=1000)
    return [
        f"{label} {rows[first].utterance}.ogg {rows[second].utterance}.ogg"
        for label, first, second in pairs
    ]


def _write(path: Path, lines: list[str]) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path
