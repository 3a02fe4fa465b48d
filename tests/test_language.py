"""The project speaks the field's language: words that are not to come back, and what to say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "docs", "configs", "recipes", "benchmarks")
SUFFIXES = {".py", ".md", ".yaml", ".html", ".sh"}
EXEMPT = {"test_language.py", "names.md"}
"""files whose subject the old words are"""

BANNED = {
    r"\bsystems?[ _-][ab]\b(?!-embeddings)": "ddvc or PaddleSpeech",
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
    r"normalis|recognis|initialis|optimis|quantis|serialis|maximis|summaris|analysing": "-iz-",
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
    r"\bwhat came of it\b": "results",
}
"""words that nobody is to read"""

BANNED_IN_CODE = {
    r"\bseconds of audio per second\b": "× real time",
    r"\bg(?:o|oes|one|oing) on\b|\bwent on\b": "resume, continue",
    r"\banew\b": "again, from scratch",
    r"\bpersons?\b|\bpeople\b": "speaker",
    r"\bpictures?\b": "plot",
    r"\b_?(?:teller|shower|adopt|dealt)\b|\b_tell\b": "a noun, a verb",
    r"\b(?:AS_USUAL|AS_IT_IS|AS_IN_CONFIG|EXPLODES|TRIED|LISTENED|NEVER|AHEAD|SAME)\b": (
        "a noun that says what it is"
    ),
    r"\bshares?(?: =|: \w+\b[ ,)=]|\[)|\.shares?\b": "slice, fraction, weight, scale",
    r"\b(?:about|place)(?: =|: \w+\b[ ,)=]|\[)": "metadata, description; offset, path, position",
    r"\bpart(?: =| in \w|:)": "shard, slice, micro_batch, segment, layer group",
    r"[\"'](?:centroids?|spread|rests_on)[\"']|--centroids\b": "group, mean_cosine_distance",
    r"--pretrained\b": "--weights-dir",
    r"\b(?:from_first|add_up)\b|\.agree\(": "broadcast_object, all_reduce_sum, broadcast",
    r"\b(?:fresh|knows_speakers|became)\b": "uninitialized_prefixes, has_class_weights, mapped_to",
}
"""words that code does not use, beside those: some have a second, plain meaning in prose"""


def texts(folders: Sequence[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.name not in EXEMPT:
                yield path
    if "docs" in folders:
        yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))


@pytest.mark.parametrize("pattern", BANNED, ids=lambda pattern: pattern[:40])
def test_banned_words_are_not_used(pattern: str) -> None:
    check(pattern, BANNED[pattern], FOLDERS)


@pytest.mark.parametrize("pattern", BANNED_IN_CODE, ids=lambda pattern: pattern[:40])
def test_words_banned_in_code_are_not_used(pattern: str) -> None:
    check(pattern, BANNED_IN_CODE[pattern], ("src", "tests", "recipes", "benchmarks"))


def check(pattern: str, instead: str, folders: Sequence[str]) -> None:
    expression = re.compile(pattern, re.IGNORECASE if pattern.islower() else 0)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in texts(folders)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if expression.search(line)
    ]
    assert not found, f"say {instead!r} instead:\n" + "\n".join(found)
