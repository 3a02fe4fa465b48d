"""The verb export-list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from timbral.cli.options import Layout, count_failures, option
from timbral.cli.streams import STANDARD, text_output
from timbral.cli.wording import count
from timbral.errors import ConfigError

__all__ = ["run"]


def run(
    corpus: Annotated[
        Positional[str],
        option("CORPUS", "a corpus, a folder made by `timbral prepare`, or a table"),
    ],
    *,
    output: Annotated[
        Path, option("FILE", "a file, - for standard output; a folder for kaldi and lhotse")
    ],
    format: Annotated[
        Literal["parquet", "csv", "jsonl", "kaldi", "lhotse"],
        option(None, "a table, a Kaldi data directory, or Lhotse's manifests"),
    ] = "parquet",
    layout: Layout = "folder",
) -> int:
    """Write the list of a corpus's utterances, for other tools.

    example: timbral export-list data --format kaldi --output data-kaldi
    """
    from timbral.data.lists.export import write_list
    from timbral.data.sources import find_utterances

    if output == STANDARD and format not in ("csv", "jsonl"):
        raise ConfigError(
            f"--format {format} cannot go to standard output; csv and jsonl can, or give a path"
        )
    utterances = find_utterances(corpus, layout)
    with text_output(output) as path:
        written, failures = write_list(utterances, path, format)
    where, stream = ("standard output", sys.stderr) if output == STANDARD else (output, sys.stdout)
    print(f"{count(written, 'utterance')} in {where}", file=stream)
    return count_failures(failures, output)
