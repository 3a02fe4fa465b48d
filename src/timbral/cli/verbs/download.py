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
        option("NAME ...", "of `timbral models`, or USER/REPO[@REVISION] of the Hub"),
    ],
    *,
    weights_dir: Annotated[
        Path | None, option("FOLDER", "a copy of the one name's weights, instead of a download")
    ] = None,
) -> int:
    """Download encoders: published weights, or some of the Hub.

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
