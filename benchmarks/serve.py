"""The service under load, on loopback: throughput, overload, kills, malformed uploads.

    python benchmarks/serve.py throughput [--seconds 10] [--rounds 3] [--clients 1 8 64]
    python benchmarks/serve.py arrivals [--seconds 10] [--p95 0.25 0.5] [--first-rate 1]
    python benchmarks/serve.py overload [--seconds 120]
    python benchmarks/serve.py kills [--kills 10]
    python benchmarks/serve.py malformed [--uploads 1000]
    python benchmarks/serve.py all

`throughput` compares with two plain FastAPI handlers that call `encoder.encode`: one that computes
in the event loop, one request after the other, and one that FastAPI runs in threads. Servers take
turns; each is warm and alone while it is measured. Clients keep their connections and send 4 s of
speech again and again, on the same cores as the server. `--precision int8` is the service's; the
handlers compute in fp32, as what is written first does, unless `--handler-precision` is given.

`arrivals` says what each holds at equal p95: requests come at random times, whether earlier ones
are answered or not, at rates that rise by a sixth until p95, from the time a request was due, is
above the largest bound.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastapi import FastAPI


ROOT = Path(__file__).parents[1]
VOICES = ROOT / "src" / "timbral" / "demo" / "voices"
CLIP_SECONDS = 4.0
RATE = 16_000
BOUNDARY = "timbral-benchmark"
WARM_UP_SECONDS = 2.0
MOST_CLIENTS = 128
REFUSED_SECONDS = 1e6


@dataclass
class Answers:
    """Of one run."""

    seconds: float = 0.0
    """how long it took"""
    latencies: list[float] = field(default_factory=list)
    """of the requests that were answered with 200"""
    statuses: Counter[int] = field(default_factory=Counter)
    processor_seconds: float = 0.0
    """of the server; unlike the latencies it does not depend on what else the machine does"""
    lost: Counter[str] = field(default_factory=Counter)
    """connections that ended without an answer, by error"""

    @property
    def rate(self) -> float:
        """Requests a second that were answered with 200."""
        return self.statuses[200] / self.seconds

    def percentile(self, percent: float) -> float:
        """Of the latencies, in ms."""
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


def plain_app(encoder_name: str, precision: str, in_threads: bool) -> FastAPI:
    """What one writes first."""
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
        command = [__file__, "plain", *words, "--encoder", encoder, "--port", str(port)]
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


def load(port: int, body: bytes, clients: int, seconds: float, pause: float = 0.0) -> Answers:
    """Clients that ask again as soon as they are answered; refused ones wait for `pause`."""
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


def throughput(args: argparse.Namespace) -> None:
    """Requests a second and latencies, against plain handlers."""
    body = multipart([("audio", speech_clip())])
    names = ("timbral", "plain", "plain, in threads")
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(server(name, args.encoder, *extra_words(name, args)))
            for name in names
        }
        for port, _ in servers.values():
            load(port, body, 4, WARM_UP_SECONDS)
        for clients in args.clients:
            runs: dict[str, list[Answers]] = {name: [] for name in names}
            for _ in range(args.rounds):
                for name, (port, process) in servers.items():
                    before = processor_seconds(process.pid)
                    answers = load(port, body, clients, args.seconds)
                    answers.processor_seconds = processor_seconds(process.pid) - before
                    runs[name].append(answers)
            report(clients, runs)


def arrivals(args: argparse.Namespace) -> None:
    """The highest rate of arrivals that each holds with p95 within each bound."""
    body = multipart([("audio", speech_clip())])
    bounds = sorted(1000 * bound for bound in args.p95)
    print(
        "highest rate of arrivals with p95 of at most " + ", ".join(f"{b:.0f} ms" for b in bounds)
    )
    for name in ("timbral", "plain", "plain, in threads"):
        held = dict.fromkeys(bounds, 0.0)
        with server(name, args.encoder, *extra_words(name, args)) as (port, _):
            load(port, body, 4, WARM_UP_SECONDS)
            rate, p95 = args.first_rate, 0.0
            while p95 <= bounds[-1]:
                p95 = arrive(port, body, rate, args.seconds).percentile(95)
                held |= {bound: rate for bound in bounds if p95 <= bound}
                rate *= 7 / 6
        print(f"{name:20}" + "".join(f"{rate:8.1f}" for rate in held.values()), flush=True)


def arrive(port: int, body: bytes, rate: float, seconds: float) -> Answers:
    """Requests at random times; one that is refused or lost counts as never answered."""
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


def extra_words(name: str, args: argparse.Namespace) -> list[str]:
    if name == "timbral":
        return ["--max-waiting", str(MOST_CLIENTS), "--precision", args.precision]
    return ["--handler-precision", args.handler_precision]


def report(clients: int, runs: dict[str, list[Answers]]) -> None:
    print(
        f"\n{clients:2} clients           requests/s   p50 ms   p95 ms   p99 ms   ratio"
        "   processor ms/request"
    )
    rates = {name: statistics.median(run.rate for run in each) for name, each in runs.items()}
    for name, each in runs.items():
        pooled = Answers(latencies=[latency for run in each for latency in run.latencies])
        percentiles = "".join(f"{pooled.percentile(percent):9.0f}" for percent in (50, 95, 99))
        ratio = rates["timbral"] / rates[name]
        processor = sum(run.processor_seconds for run in each) / len(pooled.latencies)
        shown = f"{rates[name]:10.1f} {percentiles}   {ratio:5.2f} {1000 * processor:12.0f}"
        print(f"{name:20} {shown}", flush=True)
        for run in each:
            if run.lost or set(run.statuses) != {200}:
                print(f"  {dict(run.statuses)} {dict(run.lost)}")


def overload(args: argparse.Namespace) -> None:
    """Four times what the service takes at once, for minutes."""
    body = multipart([("audio", speech_clip())])
    words = ("--max-waiting", "16")
    with server("timbral", args.encoder, *words) as (port, process):
        load(port, body, 16, 5)
        before = resident_megabytes(process.pid)
        answers = load(port, body, 64, args.seconds, pause=0.25)
        after = resident_megabytes(process.pid)
    print(
        f"\noverload, 64 clients where 16 are taken, {args.seconds:g} s: "
        f"{answers.statuses[200]:,} answered ({answers.rate:.1f}/s), p95 "
        f"{answers.percentile(95):.0f} ms, {answers.statuses[503]:,} refused with 503, "
        f"others {dict(answers.statuses - Counter({200: 10**9, 503: 10**9}))}, without an answer "
        f"{dict(answers.lost)}; memory {before:.0f} MB, then {after:.0f} MB"
    )
    assert not answers.lost
    assert set(answers.statuses) <= {200, 503}
    assert after < before * 1.1 + 30


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def kills(args: argparse.Namespace) -> None:
    """SIGKILL under load: what was acknowledged is enrolled."""
    from timbral.gallery.gallery import Gallery

    clip, draw = speech_clip(), random.Random(0)
    acknowledged: list[str] = []
    with tempfile.TemporaryDirectory(prefix="timbral-serve-") as folder:
        path = Path(folder) / "gallery.db"
        for number in range(args.kills):
            with server("timbral", args.encoder, str(path), "--create") as (port, process):
                killer = threading.Thread(
                    target=kill_in_work,
                    args=(process, acknowledged, len(acknowledged), draw.uniform(0.0, 2.0)),
                )
                killer.start()
                enroll_until_killed(port, clip, f"round {number}", acknowledged)
                killer.join()
        names = {voice.name for voice in Gallery(path).voices()}
    missing = set(acknowledged) - names
    print(
        f"\n{args.kills} kills: {len(acknowledged):,} enrollments acknowledged, "
        f"{len(missing)} of them missing, {len(names - set(acknowledged))} more in the gallery "
        "whose answer did not arrive"
    )
    assert not missing


def kill_in_work(
    process: subprocess.Popen[bytes], acknowledged: Sequence[str], before: int, seconds: float
) -> None:
    """SIGKILL so long after the first enrollment of this round."""
    while len(acknowledged) == before:
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()


def enroll_until_killed(port: int, clip: bytes, prefix: str, acknowledged: list[str]) -> None:
    def enroll(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for number in range(10_000):
            name = f"{prefix} {client} {number}"
            body = multipart([("audio", clip)], name=name, force="true")
            try:
                status, _ = post(connection, "/enroll", body)
            except (OSError, http.client.HTTPException):
                return
            if status == 200:
                acknowledged.append(name)

    run_threads([lambda client=client: enroll(client) for client in range(4)])  # type: ignore[misc]


def malformed(args: argparse.Namespace) -> None:
    """Changed files of several formats: refused or read, with steady memory."""
    sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
    from mutate import MUTATIONS

    originals = list(encoded_clips())
    statuses: Counter[int] = Counter()
    with server("timbral", args.encoder, "--max-seconds", "60") as (port, process):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        memory = []
        for number in range(args.uploads):
            draw = random.Random(number)
            content = MUTATIONS["bytes"](draw, originals[number % len(originals)])
            path, name = draw.choice([("/embed", "audio"), ("/verify", "first")])
            files = [(name, content), ("second", originals[0])][: 1 + (name == "first")]
            statuses[post(connection, path, multipart(files))[0]] += 1
            if number in (args.uploads // 3, args.uploads - 1):
                memory.append(resident_megabytes(process.pid))
    print(
        f"\n{args.uploads:,} malformed uploads: {dict(sorted(statuses.items()))}; memory after a "
        f"third {memory[0]:.0f} MB, at the end {memory[-1]:.0f} MB"
    )
    assert not any(status >= 500 for status in statuses)
    assert memory[-1] < memory[0] * 1.1 + 30


def encoded_clips() -> Iterator[bytes]:
    """A second of speech in each of several formats."""
    import soundfile

    wave, rate = soundfile.read(sorted(VOICES.glob("am_adam/*.ogg"))[0])
    kinds = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
    for format, subtype in kinds.items():
        file = io.BytesIO()
        soundfile.write(file, wave[: 2 * rate], rate, format=format, subtype=subtype)
        yield file.getvalue()


def plain(args: argparse.Namespace) -> None:
    run_plain(args.encoder, args.handler_precision, args.port, args.in_threads)


TASKS = {
    "throughput": throughput,
    "arrivals": arrivals,
    "overload": overload,
    "kills": kills,
    "malformed": malformed,
}


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("task", choices=[*TASKS, "all", "plain"])
    parser.add_argument("--encoder", default="campplus-zh-en")
    parser.add_argument("--precision", default="fp32", help="of the service")
    parser.add_argument("--handler-precision", default="fp32")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--p95", type=float, nargs="+", default=[0.25, 0.5], help="seconds")
    parser.add_argument("--first-rate", type=float, default=1.0, help="arrivals a second")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--in-threads", action="store_true")
    args = parser.parse_args()
    if args.task == "plain":
        plain(args)
        return
    defaults = {"throughput": 10.0, "arrivals": 10.0, "overload": 120.0}
    given = args.seconds
    for task in TASKS if args.task == "all" else [args.task]:
        args.seconds = given or defaults.get(task, 0.0)
        TASKS[task](args)


if __name__ == "__main__":
    main()
