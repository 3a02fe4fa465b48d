"""The process that serves: its socket, its signals, its end."""

from __future__ import annotations

import logging
import math
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from timbral.errors import ConfigError

__all__ = ["listen", "serve_until_stopped"]

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 15


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; ConfigError where that is impossible, as for a port in use."""
    if not 0 <= port <= 65_535:
        raise ConfigError(f"`port` must be between 0 and 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # with its protocol, as asyncio sends at once only on sockets that say TCP: else an answer's
        # body waits for what acknowledges its head, 40 ms
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host!r} ({error}); choose another `host`") from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}, port {port} ({error.strerror}); choose another `port`"
        ) from None
    return listening


def serve_until_stopped(app: FastAPI, listening: socket.socket, *, timeout_seconds: float) -> None:
    """Answer until SIGTERM or Ctrl-C; what was taken is finished first.

    `timeout_seconds` is how long a request may take. Who takes no answer for twice as long is not
    waited for. A second Ctrl-C gives up what waits, and ends when the threads that compute do.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=math.ceil(2 * timeout_seconds),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with _stop_signals_end_here():
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _stop_signals_end_here() -> Iterator[None]:
    """uvicorn raises the signals that stopped it once more when it is done: they are answered."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
