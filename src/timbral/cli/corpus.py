"""Verbs over a corpus: prepare, embed, map."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from timbral.cli.shared import (
    AS_USUAL,
    OK,
    SOME_FAILED,
    Encoder,
    Running,
    count_failures,
    load_embedder,
)
from timbral.errors import ConfigError
from timbral.progress import bar

__all__ = ["embed", "map_voices", "prepare"]


def prepare(
    *,
    output_dir: Path,
    folder: Path | None = None,
    kaldi: Path | None = None,
    trim: Literal["none", "energy", "system-a", "system-b"] = "none",
    loudness: str = "-30",
    workers: int = os.cpu_count() or 1,
) -> int:
    """Turn a corpus into data that training reads without waiting.

    Args:
        output_dir: where the prepared data goes; a killed run is continued there
        folder: a corpus of the layout SPEAKER/[SESSION/]UTTERANCE.wav
        kaldi: a Kaldi data directory (wav.scp, utt2spk)
        trim: how silence is cut; system-b needs the extra [vad]
        loudness: raise quieter recordings to this level in dBFS, or none
        workers: processes
    """
    from timbral import api
    from timbral.audio import Preprocessing

    sources = {"folder": folder, "kaldi": kaldi}
    given = [(layout, root) for layout, root in sources.items() if root is not None]
    if len(given) != 1:
        raise ConfigError(f"one of --folder and --kaldi is needed, got {len(given)} of them")
    preprocessing = Preprocessing(trim, _decibels(loudness))
    layout, root = given[0]
    with bar("preparing") as advance:
        report = api.prepare(
            root,
            layout,
            output_dir,
            preprocessing,
            workers=_at_least_one("--workers", workers),
            progress=advance,
        )
    state = "was complete already" if report.reused else "prepared"
    print(
        f"{state}: {report.utterances:,} utterances of {report.speakers:,} speakers, "
        f"{report.hours:.2f} h, in {output_dir}"
    )
    return count_failures(report.failures, output_dir)


def embed(
    encoder: Encoder,
    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")],
    *,
    output: Path,
    layout: Literal["folder", "kaldi", "librispeech", "libritts", "vctk"] = "folder",
    format: Literal["parquet", "npy", "torch"] = "parquet",
    model_name: str | None = None,
    running: Running = AS_USUAL,
) -> int:
    """Vectors of every utterance and every speaker of a corpus.

    Args:
        corpus: the corpus's folder
        output: where the vectors go; a killed job is continued there
        layout: how the corpus lies in its folder
        format: parquet (one table), npy (system B's tree) or torch (system A's files)
        model_name: the name in system A's file names; default the encoder's
    """
    from timbral import api

    embedder = load_embedder(encoder, running)
    with bar("embedding") as advance:
        report = api.embed(
            embedder,
            corpus,
            output,
            layout=layout,
            format=format,
            model_name=model_name,
            progress=lambda done, total, seconds: advance(done, total),
        )
    print(
        f"{report.utterances:,} utterances of {report.speakers:,} speakers "
        f"({report.audio_seconds / 3600:.2f} h) in {output}"
    )
    if report.new_audio_seconds:
        print(f"{report.realtime:.0f} seconds of audio per second")
    return count_failures(report.failures, output)


def map_voices(
    embeddings: Annotated[Positional[Path], arg(metavar="EMBEDDINGS")], *, output: Path
) -> int:
    """Draw the voices of an `embed` folder: click a point, hear the utterance.

    Args:
        embeddings: a folder made by `timbral embed`
        output: the page, such as map.html; a picture (.png) is put beside it
    """
    from timbral import api

    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output should name a page, such as map.html; got {output}")
    with bar("drawing") as advance:
        picture, page = api.draw_map(embeddings, output, advance)
    print(f"{page.points:,} points, {page.clips:,} with sound: {output}, {picture}")
    if page.unreadable:
        path, reason = page.unreadable[0]
        print(
            f"{len(page.unreadable):,} points have no sound; the first: {path}: {reason}",
            file=sys.stderr,
        )
    return SOME_FAILED if page.unreadable else OK


def _decibels(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--loudness is a level in dBFS or none, got {text!r}") from None


def _at_least_one(flag: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{flag} must be 1 or more, got {value}")
    return value
