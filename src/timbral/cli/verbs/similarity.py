"""The verb similarity."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    DrawsOption,
    Layout,
    Running,
    RunningOptions,
    load_embedder,
    option,
    report_failures,
)
from timbral.cli.early_checks import check_files, check_folders
from timbral.cli.wording import count, name_flags, percent
from timbral.errors import ConfigError
from timbral.io.progress import bar

if TYPE_CHECKING:
    from timbral.cloning.clone_similarity import SimilarityReport

__all__ = ["run"]

SHOWN = 12
"""the most comparisons of systems that are printed"""
WEIGHT_SUFFIXES = (".onnx", ".pt", ".pth", ".ckpt", ".safetensors", ".pdparams", ".bin", ".tar")


def run(
    words: Annotated[
        Positional[tuple[str, ...]],
        option(
            "ENCODER … SOURCE",
            "encoders, followed by lists (synthesized, reference), or by folders of synthesized "
            "recordings and, last, the folder of references",
        ),
    ],
    *,
    output: Annotated[Path, option("FOLDER", "the report: page, plot, tables, JSON")],
    meta: Annotated[
        Path | None,
        option("FILE", "meta.lst of seed-tts-eval; the sources are then output folders"),
    ] = None,
    corpus: Annotated[
        str | None,
        option("CORPUS", "more recordings of the references' speakers and of others, as anchors"),
    ] = None,
    layout: Layout = "auto",
    to_speaker: Annotated[
        bool, option(None, "compare with the mean of the speaker's other recordings")
    ] = False,
    drift: Annotated[
        bool,
        option(
            None,
            "compare the windows of one long recording, SOURCE, with its beginning or with a "
            "second recording; --corpus adds the range of one speaker",
        ),
    ] = False,
    draws: DrawsOption = 1000,
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Measure how close cloned voices come to their references.

    example: timbral similarity campplus-zh-en ge2e-lstm SYNTHESIZED LibriTTS --output report
    """
    encoders, sources = _encoders_and_sources(words)
    check_folders(*sources, corpus)
    check_files(meta)
    if drift:
        return _drift(encoders, sources, output, corpus, layout, running)
    embedders = [load_embedder(encoder, running) for encoder in encoders]
    from timbral import api

    with bar("comparing") as advance:
        report = api.clone_similarity(
            embedders, sources, output, meta=meta, corpus=corpus, layout=layout,
            to_speaker=to_speaker, draws=draws, progress=advance,
        )  # fmt: skip
    return _print_report(report, output)


def _drift(
    encoders: list[str],
    sources: list[str],
    output: Path,
    corpus: str | None,
    layout: str,
    running: RunningOptions,
) -> int:
    """Measure how the voice changes in the course of one recording."""
    if len(encoders) != 1 or len(sources) > 2:
        raise ConfigError("--drift takes one encoder, a long recording, and optionally a reference")
    embedder = load_embedder(encoders[0], running)
    from timbral import api

    recording, reference = sources[0], next(iter(sources[1:]), None)
    found = api.voice_drift(embedder, recording, reference, output, corpus=corpus, layout=layout)
    lowest = int(found.cosines.argmin())
    below = "" if found.below is None else f", {percent(found.below)} below what one speaker does"
    print(
        f"{len(found.cosines)} windows, cosine {found.cosines.mean():.3f} on average, "
        f"{found.slope:+.3f} per minute{below}; lowest {found.cosines[lowest]:.3f} at "
        f"{found.times[lowest, 0]:.1f} s"
    )
    plot = output / "drift.png"
    print(f"table: {output / 'drift.csv'}{f', plot: {plot}' if plot.exists() else ''}")
    return report_failures(len(found.failures), output, "drift.json")


def _encoders_and_sources(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    encoders, sources = split_words(words)
    if encoders and sources and not any(map(_is_encoder, sources)):
        return encoders, sources
    from timbral.checkpoints.known_names import DEFAULT_ENCODER

    misplaced = [word for word in sources if _is_encoder(word)]
    given = [*encoders, *misplaced] or [DEFAULT_ENCODER]
    compared = [word for word in sources if word not in misplaced] or ["SYNTHESIZED", "REFERENCES"]
    example = shlex.join([*given, *compared])
    raise ConfigError(
        "give encoders, followed by what to compare (by each of them), as in "
        f"`timbral similarity {example} --output report`"
    )


def split_words(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The encoders, which come first, and the sources, which follow them."""
    encoders: list[str] = []
    for word in words:
        if not _is_encoder(word) and (encoders or Path(word).exists()):
            break
        encoders.append(word)
    return encoders, list(words[len(encoders) :])


def _is_encoder(word: str) -> bool:
    """Whether a word is a published name, or looks like weights or a run."""
    from timbral.checkpoints.known_names import PUBLISHED_NAMES

    path = Path(word)
    known = word in PUBLISHED_NAMES and not path.is_dir()
    is_weights = path.suffix.lower() in WEIGHT_SUFFIXES
    is_run = (path / "checkpoint.json").is_file() or (path / "checkpoints").is_dir()
    return known or is_weights or is_run


def _print_report(report: SimilarityReport, output: Path) -> int:
    for line in report.lines:
        print(line)
    _print_differences(report)
    for flag in report.flags:
        print(f"warning: {flag}", file=sys.stderr)
    for note in report.notes:
        print(f"note: {name_flags(note, 'similarity')}", file=sys.stderr)
    if any("  position " in line for line in report.lines):
        print("note: position 0 is the nearest other speaker, 1 the same one", file=sys.stderr)
    print(f"report: {output / 'report.html'}")
    return report_failures(len(report.failures), output)


def _print_differences(report: SimilarityReport) -> None:
    """Print the comparisons of systems, at most `SHOWN` of them."""
    for each in report.differences[:SHOWN]:
        interval = (
            ""
            if each.interval is None
            else f" ({each.interval.low:+.3f} to {each.interval.high:+.3f})"
        )
        print(
            f"{each.first} - {each.second}: {each.mean:+.3f}{interval} by {each.encoder}"
            f"{', no clear difference' if each.interval and not each.is_clear else ''}"
        )
    if len(report.differences) > SHOWN:
        more = count(len(report.differences) - SHOWN, "comparison")
        print(f"and {more} more, in the report")
