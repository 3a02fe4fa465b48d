"""Servers of benchmarks/serve.py: the service, and plain handlers to compare it with."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def plain_app(encoder_name: str, precision: str, in_threads: bool) -> FastAPI:
    """The simplest handler without timbral's service, in the event loop or in threads."""
    from fastapi import FastAPI, UploadFile

    import timbral

    encoder = timbral.load_encoder(encoder_name, precision=precision)
    app = FastAPI()

    def embed_in_threads(audio: UploadFile):  # type: ignore[no-untyped-def]
        return {"embedding": encoder.encode(audio.file.read()).tolist()}

    async def embed(audio: UploadFile):  # type: ignore[no-untyped-def]
        return {"embedding": encoder.encode(await audio.read()).tolist()}

    for handler in (embed, embed_in_threads):
        handler.__annotations__["audio"] = UploadFile  # names are not resolved in a function
    app.post("/embed")(embed_in_threads if in_threads else embed)
    app.get("/health")(lambda: {})
    return app


def run_plain(encoder: str, precision: str, port: int, in_threads: bool) -> None:
    import uvicorn

    from timbral.io.devices import tune_cpu

    tune_cpu()
    uvicorn.run(plain_app(encoder, precision, in_threads), port=port, log_level="warning")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    contender: str, encoder: str, *words: str
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server on loopback that answers; yields its port and process."""
    port = free_port()
    if contender == "timbral":
        command = ["-m", "timbral", "serve", *words, "--encoder", encoder, "--quiet"]
        command += ["--port", str(port)]
    else:
        script = str(Path(__file__).with_name("serve.py"))
        command = [script, "plain", *words, "--encoder", encoder, "--port", str(port)]
        command += ["--in-threads"] if contender == "plain, in threads" else []
    process = subprocess.Popen([sys.executable, *command])
    try:
        wait_until_ready(port, process)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
