"""The command line: one function per verb, shown by ``timbral --help``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import tyro

from timbral.cli.data import corpora, inspect, manifest, prepare
from timbral.cli.encoder import average, convert, demo, download, evaluate, models, verify
from timbral.cli.shared import INTERRUPTED, OK, USAGE
from timbral.cli.training import train
from timbral.cli.vectors import audit, embed, map_voices, speakers
from timbral.compat.command_lines import translate
from timbral.errors import TimbralError
from timbral.version import __version__

__all__ = ["VERBS", "main"]

VERBS: dict[str, Callable[..., int]] = {
    "corpora": corpora,
    "prepare": prepare,
    "inspect": inspect,
    "manifest": manifest,
    "train": train,
    "evaluate": evaluate,
    "embed": embed,
    "speakers": speakers,
    "audit": audit,
    "verify": verify,
    "map": map_voices,
    "models": models,
    "download": download,
    "convert": convert,
    "average": average,
    "demo": demo,
}


def main() -> None:
    """Entry point: exit code 0 done, 1 some recordings failed, 2 a mistake, 130 interrupted."""
    if sys.argv[1:] == ["--version"]:
        print(f"timbral {__version__}")
        sys.exit(OK)
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        code: Any = tyro.extras.subcommand_cli_from_dict(
            VERBS,
            prog="timbral",
            description="Train, judge and run speaker encoders.",
            args=translate(sys.argv[1:]),
        )
    except (TimbralError, OSError) as error:  # OSError: full disk, no permission
        print(f"error: {error}", file=sys.stderr)
        code = USAGE
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)
