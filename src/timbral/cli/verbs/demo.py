"""The verb demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from timbral.cli.common_options import option

__all__ = ["run"]


def run(
    *, output: Annotated[Path, option("FOLDER", "folder for all results")] = Path("demo-run")
) -> int:
    """Run the whole job in five minutes, on synthetic voices.

    example: timbral demo --output demo-run
    """
    from timbral.demo.whole_job import run_demo
    from timbral.io.devices import tune_cpu

    tune_cpu()
    return run_demo(output)
