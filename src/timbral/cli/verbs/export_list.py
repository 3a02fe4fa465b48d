"""The verb export-list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import (
    SOME_FAILED,
    Layout,
    one_of,
    option,
    report_failures,
)
from timbral.cli.corpus_argument import STDIN, find_corpus
from timbral.cli.standard_streams import STANDARD, text_output
from timbral.cli.wording import count
from timbral.data.lists.registry import LIST_FORMATS
from timbral.errors import ConfigError, check_choice

__all__ = ["run"]


def run(
    corpus: Annotated[
        Positional[str],
        option("CORPUS", "a corpus, a folder from `timbral prepare`, or a table"),
    ],
    *,
    output: Annotated[
        Path, option("FILE", "a file, or - for standard output; a folder for kaldi and lhotse")
    ],
    format: Annotated[
        str,
        option(
            one_of(LIST_FORMATS),
            "format of the list: a table, a Kaldi data directory, Lhotse manifests or cuts, or a "
            "NeMo manifest",
        ),
    ] = "parquet",
    layout: Layout = "auto",
) -> int:
    """Write a corpus's list of utterances, for other tools.

    example: timbral export-list data --format kaldi --output data-kaldi
    """
    from timbral import api
    from timbral.data.lists.export import failures_file

    check_choice("--format", format, LIST_FORMATS)
    if output == STANDARD and not LIST_FORMATS[format].is_text:
        text = [name for name, other in LIST_FORMATS.items() if other.is_text]
        raise ConfigError(
            f"--format {format} cannot go to standard output; give a path, or one of the formats "
            f"{', '.join(text)}"
        )
    found = find_corpus(corpus, layout)
    source = found if corpus == STDIN else corpus
    with text_output(output) as path:
        written, failures = api.export_list(source, path, format=format, layout=layout)
    where, stream = ("standard output", sys.stderr) if output == STANDARD else (output, sys.stdout)
    print(f"{count(written, 'utterance')} in {where}", file=stream)
    if failures and output == STANDARD:
        print(f"{count(failures, 'line')} of {corpus} could not be used", file=sys.stderr)
        return SOME_FAILED
    failed = failures_file(output, format)
    return report_failures(failures, failed.parent, failed.name)
