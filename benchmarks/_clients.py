"""Clients of benchmarks/serve.py: what they send, how fast, and the answers."""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

VOICES = Path(__file__).parents[1] / "src" / "timbral" / "demo" / "voices"
CLIP_SECONDS = 4.0
RATE = 16_000
BOUNDARY = "timbral-benchmark"
MOST_CLIENTS = 128
REFUSED_SECONDS = 1e6


@dataclass
class Answers:
    """The answers to the requests of one run."""

    seconds: float = 0.0
    """duration of the run"""
    latencies: list[float] = field(default_factory=list)
    """seconds until each answer with status 200"""
    statuses: Counter[int] = field(default_factory=Counter)
    processor_seconds: float = 0.0
    """processor time of the server, which hardly depends on the load of the machine"""
    lost: Counter[str] = field(default_factory=Counter)
    """connections that ended without an answer, by error"""

    @property
    def rate(self) -> float:
        """Answers with status 200 per second."""
        return self.statuses[200] / self.seconds

    def percentile(self, percent: float) -> float:
        """A percentile of the latencies in ms."""
        return 1000 * float(np.percentile(self.latencies, percent)) if self.latencies else 0.0


def speech_clip() -> bytes:
    """4 s of speech as 16-bit WAV."""
    import soundfile

    waves = [soundfile.read(path)[0] for path in sorted(VOICES.glob("am_adam/*.ogg"))[:3]]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(waves)[: int(CLIP_SECONDS * RATE)], RATE, format="WAV")
    return file.getvalue()


def multipart(files: Sequence[tuple[str, bytes]], **fields: str) -> bytes:
    body = io.BytesIO()
    for name, value in fields.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        body.write(f"{head}{value}\r\n".encode())
    for name, content in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="clip"\r\n\r\n'
        body.write(f"--{BOUNDARY}\r\n{head}".encode() + content + b"\r\n")
    return body.getvalue() + f"--{BOUNDARY}--\r\n".encode()


def post(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def load(port: int, body: bytes, clients: int, seconds: float, pause: float = 0.0) -> Answers:
    """For some seconds, each client sends a request as soon as its last one is answered.

    After a refusal it waits for `pause` seconds.
    """
    answers, lock = Answers(), threading.Lock()
    start = time.monotonic()
    end = start + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while (began := time.monotonic()) < end:
            try:
                status, _ = post(connection, "/embed", body)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with lock:
                    answers.lost[type(error).__name__] += 1
                continue
            with lock:
                answers.statuses[status] += 1
                if status == 200:
                    answers.latencies.append(time.monotonic() - began)
            if status != 200:
                time.sleep(pause)
        connection.close()

    run_threads([ask] * clients)
    answers.seconds = time.monotonic() - start
    return answers


def run_threads(functions: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def arrive(port: int, body: bytes, rate: float, seconds: float) -> Answers:
    """Send requests at random times; one that is refused or lost counts as never answered."""
    gaps = np.random.default_rng(0).exponential(1 / rate, size=int(rate * seconds))
    due = iter(np.cumsum(gaps) + time.monotonic() + 0.1)
    answers, lock = Answers(seconds=seconds), threading.Lock()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                moment = next(due, None)
            if moment is None:
                break
            time.sleep(max(0.0, moment - time.monotonic()))
            try:
                status, _ = post(connection, "/embed", body)
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            with lock:
                answers.statuses[status] += 1
                taken = time.monotonic() - moment if status == 200 else REFUSED_SECONDS
                answers.latencies.append(taken)
        connection.close()

    run_threads([ask] * MOST_CLIENTS)
    return answers
