"""Read training configs of timbral, ddvc or PaddleSpeech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from timbral.compat import ddvc, paddlespeech
from timbral.compat.translation import Recipe, RunSettings
from timbral.config.yaml import read_mapping, with_overrides

__all__ = ["read_recipe"]


def read_recipe(path: Path | None, opts: Sequence[str] = ()) -> Recipe:
    """Read a config of timbral, ddvc or PaddleSpeech; without a file, PaddleSpeech's defaults.

    `opts` are pairs KEY VALUE that override the file, with timbral's keys or PaddleSpeech's
    (``model.num_layers``). Raises ConfigError for a file that cannot be read, unknown keys and
    unsupported values.
    """
    content: dict[str, Any] = {} if path is None else read_mapping(path)
    source = "`opts`" if path is None else str(path)
    paddlespeech_opts, own_opts = paddlespeech.split_opts(opts)
    if path is None or paddlespeech.recognizes(content):
        translated = paddlespeech.translate(content, paddlespeech_opts, source)
        content, run = translated.content, translated.run
        translations = translated.translations
    else:
        run, translations = RunSettings(), ()
        if ddvc.recognizes(content):
            translated = ddvc.translate(content, source)
            content, run = translated.content, translated.run
            translations = translated.translations
        own_opts = [*own_opts, *paddlespeech.as_opts(paddlespeech_opts)]
    if "schedule.steps" in own_opts[::2]:
        run = replace(run, epochs=None)
    return Recipe(with_overrides(content, own_opts, source, "opts"), run, translations)
