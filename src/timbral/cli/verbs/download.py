"""The verb download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, option
from timbral.errors import ConfigError

__all__ = ["run"]


def run(
    names: Annotated[
        Positional[tuple[str, ...]],
        option("NAME …", "names from `timbral models`, or USER/REPO[@REVISION] on the Hub"),
    ],
    *,
    weights_dir: Annotated[
        Path | None,
        option("FOLDER", "a local copy of the weights, instead of a download; for one name"),
    ] = None,
) -> int:
    """Download published weights, or encoders from the Hub.

    example: timbral download campplus-zh-en
    """
    from timbral import api

    if not names:
        raise ConfigError("which weights? give names of `timbral models`")
    if weights_dir is not None and len(names) != 1:
        raise ConfigError(f"--weights-dir is for one name, got {len(names)}")
    for name in names:
        print(f"{name}: {api.download(name, weights_dir)}")
    return OK
