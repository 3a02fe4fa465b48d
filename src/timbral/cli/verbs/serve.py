"""The verb serve."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    OK,
    Running,
    load_embedder,
    option,
    options_of,
)
from timbral.errors import ConfigError, MissingExtraError
from timbral.serving.settings import ServiceSettings

__all__ = ["run"]

EncoderOption = Annotated[
    str,
    option(
        "ENCODER",
        "a name of `timbral models`, a run folder, a checkpoint, or another project's weights",
    ),
]
TokensOption = Annotated[
    Path | None,
    option(
        "FILE",
        "bearer tokens that are taken, one a line; default: those in the variable TIMBRAL_TOKENS; "
        "without any, only this machine may ask",
    ),
]
LIMITS = options_of(
    ServiceSettings,
    {
        "max_upload_mb": "MB",
        "max_seconds": "SECONDS",
        "max_files": "N",
        "max_waiting": "N",
        "max_per_token": "N",
        "timeout_seconds": "SECONDS",
        "threads": "N",
    },
)
DEFAULT_LIMITS = LIMITS()


def run(
    *,
    encoder: EncoderOption,
    host: Annotated[str, option("HOST", "address to listen on; 0.0.0.0: all")] = "127.0.0.1",
    port: Annotated[int, option("PORT", "0: any free one")] = 8080,
    tokens: TokensOption = None,
    quiet: Annotated[bool, option(None, "no line for each request")] = False,
    limits: Annotated[LIMITS, arg(name="")] = DEFAULT_LIMITS,  # type: ignore[valid-type]
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Answer over HTTP, with a page: embed, verify, metrics.

    The page is at /, that of the API at /api.

    SIGTERM and Ctrl-C stop it: what was taken is finished, and the exit code is 0.

    example: timbral serve --encoder campplus-zh-en --port 8080
    """
    try:
        from timbral.serving.server import listen, serve_until_stopped
        from timbral.serving.tokens import is_loopback, read_tokens
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"serving over HTTP ({error.name})", "serve") from None
    known = read_tokens(tokens)
    if not known and not is_loopback(host):
        raise ConfigError(
            f"other machines can reach {host!r}, and no tokens are given; name a file with "
            "`tokens`, or let `host` be 127.0.0.1"
        )
    listening = listen(host, port)
    embedder = load_embedder(encoder, running)
    import torch

    from timbral.serving.app import create_app
    from timbral.serving.service import Service

    workers = 1
    if embedder.device.type == "cpu":
        workers = len(os.sched_getaffinity(0))
        torch.set_num_threads(1)  # a worker a core computes more than all cores on one batch
    _log_to_standard_error(quiet)
    service = Service(embedder, limits, workers=workers)
    address = listening.getsockname()
    print(f"{embedder.name} at http://{_shown(host)}:{address[1]}", file=sys.stderr, flush=True)
    serve_until_stopped(create_app(service, known), listening)
    return OK


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _log_to_standard_error(quiet: bool) -> None:
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for name, level in {"timbral.access": logging.INFO, "uvicorn.error": logging.WARNING}.items():
        log = logging.getLogger(name)
        log.setLevel(logging.WARNING if quiet else level)
        log.addHandler(lines)
        log.propagate = False
