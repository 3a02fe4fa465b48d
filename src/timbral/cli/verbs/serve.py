"""The verb serve."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    OK,
    Running,
    load_embedder,
    option,
    options_of,
)
from timbral.cli.gallery_options import encoder_of
from timbral.errors import ConfigError
from timbral.serving.extras import check_installed
from timbral.serving.settings import ServiceSettings
from timbral.serving.tokens import is_loopback, read_tokens

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["run"]

GalleryArgument = Annotated[
    Positional[str | None],
    option(
        "GALLERY",
        "enrolled voices: a file, or postgresql://USER@HOST/DATABASE; without it, enroll and "
        "identify are off",
    ),
]
EncoderOption = Annotated[
    str | None,
    option(
        "ENCODER",
        "a name from `timbral models`, a run folder, a checkpoint, weights of another project, "
        "or a model from `timbral export`; default: the gallery's encoder, by its name",
    ),
]
TokensOption = Annotated[
    Path | None,
    option(
        "FILE",
        "accepted bearer tokens, one per line; default: the environment variable "
        "TIMBRAL_TOKENS; without tokens, only requests from this machine are accepted",
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
MAIN_THREADS = 1
"""threads of torch in the main thread, which computes only while it loads the encoder. The workers
compute: one on each core, or one on all cores. If a process has more threads than cores, GNU's
OpenMP lets them sleep between products, and then all cores together are slower than one"""


def run(
    gallery: GalleryArgument = None,
    *,
    encoder: EncoderOption = None,
    host: Annotated[str, option("HOST", "address to listen on; 0.0.0.0: all")] = "127.0.0.1",
    port: Annotated[int, option("PORT", "0: any free port")] = 8080,
    tokens: TokensOption = None,
    create: Annotated[bool, option(None, "create the gallery if there is none")] = False,
    quiet: Annotated[bool, option(None, "do not log requests")] = False,
    limits: Annotated[LIMITS, arg(name="")] = DEFAULT_LIMITS,  # type: ignore[valid-type]
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Serve embed, verify, enroll and identify over HTTP, with a page.

    The page is at /, the documentation of the API at /api.

    SIGTERM and Ctrl-C stop it: accepted requests are finished, and the exit code is 0.

    example: timbral serve gallery.db --encoder campplus-zh-en --port 8080
    """
    check_installed()
    from timbral.gallery.gallery import Gallery  # imports numpy
    from timbral.serving.server import listen, serve_until_stopped

    known = read_tokens(tokens)
    if not known and not is_loopback(host):
        raise ConfigError(
            f"other machines can reach {host!r}, but no tokens are given; give a file with "
            "`tokens`, or set `host` to 127.0.0.1"
        )
    with listen(host, port) as listening:
        enrolled = None if gallery is None or create else Gallery(gallery)
        name = encoder or (enrolled and encoder_of(enrolled))
        if not name:
            from timbral.checkpoints.known_names import DEFAULT_ENCODER

            raise ConfigError(
                f"give an `encoder`, such as {DEFAULT_ENCODER}, which ships with timbral, or an "
                "existing gallery, whose encoder is then used"
            )
        embedder = load_embedder(name, running, torch_threads=MAIN_THREADS)
        if create and gallery is not None:
            enrolled = Gallery.create(gallery, embedder)
        from timbral.serving.app import create_app
        from timbral.serving.service import Service

        workers = _count_workers(embedder)
        service = Service(
            embedder, limits, workers=workers, threads_alone=workers, gallery=enrolled
        )
        _log_to_standard_error(quiet)
        address = f"http://{_url_host(host)}:{listening.getsockname()[1]}"
        print(f"{embedder.name} at {address}", file=sys.stderr, flush=True)
        serve_until_stopped(
            create_app(service, known), listening, timeout_seconds=service.settings.timeout_seconds
        )
    return OK


def _count_workers(embedder: Embedder) -> int:
    """How many batches are computed at once: one per core on a CPU, one on a GPU."""
    if embedder.device.type != "cpu":
        return 1
    from timbral.io.cores import usable_cores

    return usable_cores()


def _url_host(host: str) -> str:
    """A host as in a URL, where IPv6 addresses are in brackets."""
    return f"[{host}]" if ":" in host else host


def _log_to_standard_error(quiet: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for name, level in {"timbral.access": logging.INFO, "uvicorn.error": logging.WARNING}.items():
        log = logging.getLogger(name)
        log.setLevel(logging.WARNING if quiet else level)
        log.addHandler(handler)
        log.propagate = False
