"""The serving process: its socket, its signals and its shutdown."""

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
    """A listening socket; ConfigError if that is impossible, for example for a port in use."""
    if not 0 <= port <= 65_535:
        raise ConfigError(f"`port` must be between 0 and 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # given its protocol, because asyncio sends at once only on sockets that say TCP: otherwise
        # an answer's body waits 40 ms for the acknowledgment of its head
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
    """Answer requests until SIGTERM or Ctrl-C; accepted requests are finished first.

    `timeout_seconds` is the time limit of a request. A client that does not take its answer for
    twice as long is given up. A second Ctrl-C drops waiting requests, and ends when the computing
    threads do.
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
    """Ignore the signals that stopped uvicorn, which it raises once more when it is done."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
