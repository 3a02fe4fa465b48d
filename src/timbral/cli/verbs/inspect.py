"""The verb inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, Layout, option, tell_layout, tell_one_speaker
from timbral.io.progress import bar

__all__ = ["run"]


def run(
    corpus: Annotated[
        Positional[str],
        option(
            "CORPUS", "a folder made by `timbral prepare`, precomputed mels, a corpus or a table"
        ),
    ],
    *,
    output: Annotated[
        Path | None, option("PAGE.html", "write a page too, with every suspicious recording")
    ] = None,
    layout: Layout = "auto",
) -> int:
    """Show what a corpus or prepared data holds, and what looks wrong.

    example: timbral inspect data --output page.html
    """
    from timbral import api
    from timbral.reports.inspection_page import describe

    tell_layout(corpus, layout)
    with bar("inspecting") as advance:
        inspection = api.inspect(corpus, layout=layout, output=output, progress=advance)
    print(describe(inspection))
    tell_one_speaker(inspection.speakers, corpus, layout)
    if output is not None:
        print(f"page: {output}")
    return OK
