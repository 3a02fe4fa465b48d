"""The verb inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, Layout, option
from timbral.cli.corpus_argument import STDIN, find_corpus
from timbral.io.progress import bar

__all__ = ["run"]


def run(
    corpus: Annotated[
        Positional[str],
        option("CORPUS", "a folder from `timbral prepare`, precomputed mels, a corpus or a table"),
    ],
    *,
    output: Annotated[
        Path | None, option("PAGE.html", "also write a page with every suspicious recording")
    ] = None,
    layout: Layout = "auto",
) -> int:
    """Show what is in a corpus or prepared data, and what looks wrong.

    example: timbral inspect data --output page.html
    """
    from timbral import api
    from timbral.io.outputs import claim_file
    from timbral.reports.inspection_page import INSPECTION_PAGE, describe

    if output is not None:
        claim_file(output, INSPECTION_PAGE, [corpus])  # before the corpus is listed
    found = find_corpus(corpus, layout)
    source = found if corpus == STDIN else corpus
    with bar("inspecting") as advance:
        inspection = api.inspect(source, layout=layout, output=output, progress=advance)
    print(describe(inspection))
    if output is not None:
        print(f"page: {output}")
    return OK
