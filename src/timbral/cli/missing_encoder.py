"""ENCODER left out: the corpus or list is in its place, so another argument seems to be missing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

__all__ = ["missing_encoder_hint"]


def missing_encoder_hint(verb: str, words: Sequence[str]) -> str:
    """A message that ENCODER is missing, with an example; "" if the first word may be an encoder.

    Args:
        verb: such as ``timbral embed``, which takes ENCODER and a corpus or list
        words: its arguments
    """
    if not words or words[0].startswith("-") or not (found := _no_encoder(words[0])):
        return ""
    from timbral.checkpoints.known_names import DEFAULT_ENCODER

    example = shlex.join([verb.split()[-1], DEFAULT_ENCODER, *words])
    return (
        f"ENCODER is missing before {words[0]}, which is {found}, as in `timbral {example}`. "
        f"{DEFAULT_ENCODER} comes with timbral and `timbral models` lists other names; a run "
        "folder or a file of weights is an encoder, too"
    )


def _no_encoder(word: str) -> str:
    """What a word names, if that exists and is not an encoder; else ""."""
    from timbral.audio.segments import Segment
    from timbral.data.corpora.corpus_files import audio_files
    from timbral.data.listed_recordings import LIST_SUFFIXES, is_recording
    from timbral.data.text_columns import TABLE_SUFFIXES
    from timbral.io.storage import is_url

    if is_url(word):
        return "a URL"
    path = Path(Segment.of(word).file)
    if path.is_file():
        if is_recording(word):
            return "a recording"
        is_list = path.suffix.lower() in (*LIST_SUFFIXES, *TABLE_SUFFIXES)
        return "a list" if is_list else ""
    return "a folder with recordings" if path.is_dir() and any(audio_files(path, [])) else ""
