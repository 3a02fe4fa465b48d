"""A long job of `timbral embed`, killed twice: throughput from start to end, and its memory.

    python benchmarks/bulk_long.py [CORPUS] [--utterances 2000] [--encoder ge2e-lstm] [--workers 2]

The corpus of the job is made of links to the recordings of CORPUS (by default the voices that come
with timbral), as many as `--utterances` says. The job gets SIGKILL after a third and after two
thirds of it, and is started again each time. Vectors of links to the same recording are compared.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.bulk.shards import SHARD_UTTERANCES
from timbral.demo.shipped import VOICES

PER_SHARD = SHARD_UTTERANCES["cpu"]
UTTERANCES_PER_SPEAKER = 100


def link(sources: list[Path], root: Path, count: int) -> None:
    for index, source in enumerate(islice(cycle(sources), count)):
        name = f"s{index // UTTERANCES_PER_SPEAKER:05d}/u{index:07d}{source.suffix}"
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


def resident_mb(process: int) -> float:
    """Memory of a process and its descendants; shared pages count for each of them."""
    total, todo = 0.0, [process]
    while todo:
        one = Path("/proc") / str(todo.pop())
        try:
            status = (one / "status").read_text()
            total += int(status.partition("VmRSS:")[2].split()[0]) / 1024
            children = (one / "task" / one.name / "children").read_text()
        except (OSError, IndexError):
            continue  # it has ended
        todo += map(int, children.split())
    return total


def shard_times(output: Path) -> list[float]:
    """When each shard was written."""
    return sorted(shard.stat().st_mtime for shard in (output / ".embed").glob("*.arrow"))


def embed(words: list[str], output: Path, until: int | None) -> float:
    """Run the job, to the end or until so many shards are there; returns its peak memory."""
    peak = 0.0
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as job:
        while job.poll() is None:
            time.sleep(0.5)
            peak = max(peak, resident_mb(job.pid))
            if until is not None and len(shard_times(output)) >= until:
                job.send_signal(signal.SIGKILL)
                return peak
        said = job.stdout.read().decode() if job.stdout else ""
        if job.returncode:
            sys.exit(f"timbral embed ended with {job.returncode}:\n{said}")
    return peak


def vectors(output: Path) -> np.ndarray:
    table = pq.read_table(output / "utterances.parquet", columns=["embedding"])
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    return np.asarray(flat.reshape(len(table), -1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path, nargs="?", default=VOICES)
    parser.add_argument("--utterances", type=int, default=2_000)
    parser.add_argument("--encoder", default="ge2e-lstm")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    shards = -(-options.utterances // PER_SHARD)
    if shards < 3:
        parser.error(f"--utterances: a job of three shards has more than {2 * PER_SHARD}")
    files = (p.resolve() for p in options.corpus.rglob("*"))
    sources = sorted(p for p in files if p.suffix.lower() in AUDIO_SUFFIXES)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        link(sources, work / "corpus", options.utterances)
        output = work / "out"
        words = [sys.executable, "-m", "timbral", "embed", options.encoder, str(work / "corpus")]
        words += ["--output", str(output), "--device", "cpu", "--workers", str(options.workers)]
        started = time.monotonic()
        stages = [(until, embed(words, output, until)) for until in (shards // 3, 2 * shards // 3)]
        stages.append((shards, embed(words, output, None)))
        written = shard_times(output)
        seconds = time.monotonic() - started
        table = vectors(output)
        distinct = min(len(sources), options.utterances)
        apart = np.abs(table - np.resize(table[:distinct], table.shape)).max()
    print(f"{options.encoder}, {options.utterances:,} utterances ({distinct:,} distinct)")
    print(f"{options.workers} workers, {platform.machine()}: {seconds:.0f} s in all")
    for number, (until, peak) in enumerate(stages, 1):
        print(f"start {number}: to shard {until} of {shards}, peak {peak:.0f} MB")
    tenth = max(1, len(written) // 10)
    for name, first in (("first", 0), ("last", len(written) - tenth - 1)):
        speed = tenth * PER_SHARD / (written[first + tenth] - written[first])
        print(f"{name} tenth: {speed:.0f} utterances/s")
    print(f"rows {len(table):,}; copies of one recording differ by {apart:.1e} at most")


if __name__ == "__main__":
    main()
