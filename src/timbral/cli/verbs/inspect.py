"""The verb inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.options import OK, Layout, option
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
    layout: Layout = "folder",
) -> int:
    """Show what a corpus or prepared data holds, and what looks wrong.

    example: timbral inspect data --output page.html
    """
    from timbral.data.inspect.inspection import inspect_data
    from timbral.reports.inspection_page import describe, write_inspection

    with bar("inspecting") as advance:
        found = inspect_data(corpus, layout, advance)
    print(describe(found))
    if output is not None:
        write_inspection(found, output)
        print(f"page: {output}")
    return OK
