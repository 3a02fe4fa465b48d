"""A file that says how to train, whosever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from timbral.compat import ddvc as ddvc
from timbral.compat import paddlespeech as paddlespeech
from timbral.compat.translation import Meaning, Recipe, RunSettings
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, override, read_mapping

__all__ = ["Meaning", "Recipe", "RunSettings", "read_recipe"]


def read_recipe(path: Path | None, opts: Sequence[str] = ()) -> Recipe:
    """Read a config of timbral, ddvc or PaddleSpeech; no file stands for B's defaults.

    `opts` are pairs KEY VALUE and come last, as timbral's keys or as B's (``model.num_layers``).
    Raises ConfigError for what cannot be read, is unknown, or cannot be done.
    """
    content: dict[str, Any] = {} if path is None else read_mapping(path)
    where = "--opts" if path is None else str(path)
    own, words = paddlespeech.split_opts(opts)
    if path is None or paddlespeech.recognize(content):
        content, meanings = paddlespeech.translate(content, own, where)
        run = RunSettings()
    elif ddvc.recognize(content):
        found = ddvc.translate(content, where)
        content, run, meanings = found.content, found.run, found.meanings
        words += paddlespeech.as_opts(own)
    else:
        run, meanings = RunSettings(), ()
        words += paddlespeech.as_opts(own)
    override(content, words)
    if "schedule.steps" in words[::2]:
        run = replace(run, epochs=None)
    return Recipe(from_mapping(TrainConfig, content, where), run, meanings)
