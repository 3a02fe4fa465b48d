"""The project speaks the field's language: words that are not to come back, and what to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "docs", "configs", "recipes", "benchmarks")
SUFFIXES = {".py", ".md", ".yaml", ".html", ".sh"}
EXEMPT = {"test_language.py", "names.md"}
"""files whose subject the old words are"""

BANNED = {
    r"\bsystems?[ _-][ab]\b": "ddvc or PaddleSpeech",
    r"\b(?:A|B)'s\b": "ddvc's or PaddleSpeech's",
    r"\bloudness\b": "RMS level (loudness is measured in LUFS)",
    r"\bmel[ _]trees?\b": "precomputed mels",
    r"\bhears?\b|\bheard\b": "takes, sees; padding does not affect",
    r"\bjudg(?:e|es|ed|ing)\b": "validate, evaluate",
    r"\bfrom nothing\b": "from scratch",
    r"\bby heart\b": "overfit",
    r"\bbegins? anew\b": "restart",
    r"\bgo(?:es)? on (?:where|from|with)\b": "resume, continue",
    r"\bblend(?:s|ed|ing)?\b": "average",
    r"\bpull(?:s|ed|ing)?\b": "download",
    r"\bdoubt(?:s|ed)?\b": "finding",
    r"\btwins\b": "same-speaker",
    r"\bone-person\b|\btwo-people\b": "same-speaker, mixed-speaker",
    r"\brests_on\b": "utterance_ids",
    r"\blicence": "license",
    r"normalis|recognis|initialis|optimis|quantis|serialis|maximis|summaris": "-iz-",
    r"colour|neighbour|behaviour|favour|\bcentre|centred\b|labell|levell|modell|\bgrey\b": (
        "American spelling"
    ),
    r"\blearnt\b|\btowards\b|\bartefact": "learned, toward, artifact",
    r"\bwritten_whole\b": "atomic_write",
    r"\bknows_speakers\b": "has_class_weights",
    r"\bbound by computation\b": "compute-bound",
    r"\bafter_sounds\b|\btime_share\b|\bas_speakers\b": (
        "apply_after_noise, max_time_fraction, new_speakers"
    ),
    r"\bsub_centres\b|\bmargin_from_step\b|\bmargin_full_step\b": "sub_centers, margin_warmup_*",
    r"\bclips_every\b|\bpictures_every\b": "audio_every, plot_every",
    r"\bhead_rate\b|\bloss_rate\b": "head_lr_scale, loss_lr_scale",
}


def texts() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.name not in EXEMPT:
                yield path
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))


@pytest.mark.parametrize("pattern", BANNED, ids=lambda pattern: pattern[:40])
def test_words_that_are_not_used(pattern: str) -> None:
    expression = re.compile(pattern, re.IGNORECASE if pattern.islower() else 0)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in texts()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if expression.search(line)
    ]
    assert not found, f"say {BANNED[pattern]!r} instead:\n" + "\n".join(found)
