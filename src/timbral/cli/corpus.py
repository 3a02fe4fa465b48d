"""Verbs that make vectors of a corpus, and show them: embed, map."""

from __future__ import annotations

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

__all__ = ["embed", "map_voices"]


def embed(
    encoder: Encoder,
    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")],
    *,
    output: Path,
    layout: str = "folder",
    format: Literal["parquet", "npy", "torch"] = "parquet",
    model_name: str | None = None,
    running: Running = AS_USUAL,
) -> int:
    """Vectors of every utterance and every speaker of a corpus.

    Args:
        corpus: the corpus's folder
        output: where the vectors go; a killed job is continued there
        layout: how the corpus lies in its folder: folder, or a name of `timbral corpora`
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
