"""The verb export-list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import Layout, count_failures, names, option
from timbral.cli.standard_streams import STANDARD, text_output
from timbral.cli.wording import count
from timbral.data.lists.registry import LIST_FORMATS
from timbral.errors import ConfigError, check_choice

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
        str,
        option(names(LIST_FORMATS), "a table, a Kaldi data directory, or Lhotse's manifests"),
    ] = "parquet",
    layout: Layout = "folder",
) -> int:
    """Write the list of a corpus's utterances, for other tools.

    example: timbral export-list data --format kaldi --output data-kaldi
    """
    from timbral import api

    check_choice("--format", format, LIST_FORMATS)
    if output == STANDARD and not LIST_FORMATS[format].is_text:
        text = [name for name, other in LIST_FORMATS.items() if other.is_text]
        raise ConfigError(
            f"--format {format} cannot go to standard output; give a path, or one of the formats "
            f"{', '.join(text)}"
        )
    with text_output(output) as path:
        written, failures = api.export_list(corpus, path, format=format, layout=layout)
    where, stream = ("standard output", sys.stderr) if output == STANDARD else (output, sys.stdout)
    print(f"{count(written, 'utterance')} in {where}", file=stream)
    return count_failures(failures, output)
