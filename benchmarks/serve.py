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
speech again and again, on the same cores as the server. `--precision` is that of the service; the
handlers compute in fp32, the default of `load_encoder`, unless `--handler-precision` is given.

`arrivals` finds the highest rate at which each server keeps p95 within a bound. Requests come at
random times, whether earlier ones are answered or not. The rate rises by a sixth until p95 of the
latencies, counted from the time at which a request was due, exceeds the largest bound.
"""

from __future__ import annotations

import argparse
import http.client
import io
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from _clients import (
    MOST_CLIENTS,
    VOICES,
    Answers,
    arrive,
    load,
    multipart,
    post,
    run_threads,
    speech_clip,
)
from _servers import processor_seconds, resident_megabytes, run_plain, server

ROOT = Path(__file__).parents[1]
WARM_UP_SECONDS = 2.0


def throughput(args: argparse.Namespace) -> None:
    """Requests per second and latencies, compared with plain handlers."""
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
    """The highest rate of arrivals at which each server keeps p95 within each bound."""
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
    """Four times as many clients as the service admits, for minutes."""
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


def kills(args: argparse.Namespace) -> None:
    """SIGKILL under load: every acknowledged enrollment is in the gallery."""
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
    """Send SIGKILL `seconds` after the first enrollment of this round, the one after `before`."""
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
    """Damaged files of several formats are refused or read, with steady memory."""
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
        run_plain(args.encoder, args.handler_precision, args.port, args.in_threads)
        return
    defaults = {"throughput": 10.0, "arrivals": 10.0, "overload": 120.0}
    given = args.seconds
    for task in TASKS if args.task == "all" else [args.task]:
        args.seconds = given or defaults.get(task, 0.0)
        TASKS[task](args)


if __name__ == "__main__":
    main()
