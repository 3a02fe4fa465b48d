"""The verb configs."""

from __future__ import annotations

import sys
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, option

__all__ = ["run"]


def run(
    name: Annotated[
        Positional[str | None],
        option("[NAME]", "print this config, as a starting point for your own"),
    ] = None,
) -> int:
    """List the training configs that ship with timbral.

    example: timbral configs campplus-ge2e > mine.yaml
    """
    from timbral.config.named import describe_configs, find_config

    if name is not None:
        sys.stdout.write(find_config(name).read_text("utf-8"))
        return OK
    for config, description in describe_configs().items():
        print(f"{config:<27}{description}")
    return OK
