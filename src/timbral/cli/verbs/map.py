"""The verb map."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from timbral.cli.common_options import OK, SOME_FAILED, Embeddings, option
from timbral.cli.wording import count, name_flags
from timbral.errors import ConfigError
from timbral.io.progress import bar

__all__ = ["run"]

SHOWN_CHARACTERS = 12


def run(
    embeddings: Embeddings,
    *,
    output: Annotated[Path, option("PAGE.html", "the page; a plot (.png) is also written")],
    corpus: Annotated[
        str | None,
        option(
            "FOLDER",
            "the folder or URL from which recordings may be copied into the page; default: the "
            "embedded corpus, if it is on this machine",
        ),
    ] = None,
    other: Annotated[
        Path | None,
        option(
            "EMBEDDINGS",
            "the vectors that `audit --other` had: findings of speakers in both corpora then play "
            "both recordings",
        ),
    ] = None,
) -> int:
    """Draw a map of voices; clicking a point plays the utterance.

    example: timbral map embeddings --output map.html
    """
    from timbral import api

    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output must be a page, such as map.html; got {output}")
    _warn_of_silence(embeddings, corpus)
    with bar("placing and drawing") as advance:
        plot, page = api.map(embeddings, output, advance, corpus=corpus, other=other)
    print(f"{count(page.num_points, 'point')}, {page.num_clips:,} with audio: {output}, {plot}")
    if page.undrawn:
        print(
            f"note: no installed font has {_shortened(page.undrawn)}; {plot} has such characters "
            "of speakers' names as escapes, the page as they are. Install a font for them, such as "
            "Noto Sans, and delete matplotlib's list of fonts (fontlist-*.json in its cache)",
            file=sys.stderr,
        )
    if page.unreadable:
        path, reason = page.unreadable[0]
        print(
            f"{count(len(page.unreadable), 'point')} without audio; the first: "
            f"{name_flags(': '.join(filter(None, (path, reason))), 'map')}",
            file=sys.stderr,
        )
    return SOME_FAILED if page.unreadable else OK


def _shortened(characters: str) -> str:
    more = len(characters) - SHOWN_CHARACTERS
    return characters if more <= 0 else f"{characters[:SHOWN_CHARACTERS]} and {more} more"


def _warn_of_silence(embeddings: Path, corpus: str | None) -> None:
    """Warn, before minutes of work, that no point will have audio, and what would help."""
    from timbral.bulk.readable_audio import silence_of

    silence = silence_of(embeddings, corpus)
    if silence is None:
        return
    where = f" (--corpus {shlex.quote(silence.folder)})" if silence.folder else ""
    print(
        "note: the page will have no audio, because no recording can be read; the first: "
        f"{name_flags(silence.reason, 'map')}{where}",
        file=sys.stderr,
    )
