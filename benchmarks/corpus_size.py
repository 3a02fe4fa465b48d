"""What grows with the corpus: memory of `prepare`, and the time to open its table.

    python benchmarks/corpus_size.py [--utterances 1000]

Synthetic corpora of 1, 10 and 100 times this number of half-second recordings are each prepared by
a process of its own. Then a table of a million rows is opened, as a list of utterances and as a
store.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sized
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import soundfile

ROWS = 1_000_000


def child(root: Path, output: Path, format: str) -> None:
    from timbral.audio.preprocessing import Preprocessing
    from timbral.data.corpora.scanning import scan_corpus
    from timbral.data.prepared.prepare import prepare

    started = time.perf_counter()
    prepare(scan_corpus("folder", root), output, Preprocessing(), format=format, workers=1)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "mib": used}))


def prepare_sizes(utterances: int) -> None:
    print(f"{'utterances':>10} {'format':>7} {'peak MiB':>9} {'seconds':>8}")
    for factor in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "corpus"
            noise = 0.1 * np.random.default_rng(0).standard_normal(8_000)
            soundfile.write(Path(folder) / "noise.wav", noise, 16_000)
            for number in range(utterances * factor):
                path = root / f"speaker{number // 100:05d}" / "session" / f"{number:07d}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(Path(folder) / "noise.wav")
            for format in ("arrow", "flac"):
                command = [sys.executable, __file__, "--child", str(root), f"{folder}/{format}"]
                result = subprocess.run([*command, format], capture_output=True, check=True)
                measured = json.loads(result.stdout)
                print(
                    f"{utterances * factor:10,} {format:>7} {measured['mib']:9.0f} "
                    f"{measured['seconds']:8.1f}",
                    flush=True,
                )


def open_tables() -> None:
    from timbral.data.manifest_reader import read_manifest
    from timbral.data.prepared.store import Store
    from timbral.io.files import write_json

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speakers = [f"id{row // 150:05d}" for row in range(ROWS)]
        sessions = [f"video{row // 10:07d}" for row in range(ROWS)]
        pairs = zip(speakers, sessions, strict=True)
        paths = [f"/d/{a}/{b}/{row:07d}.wav" for row, (a, b) in enumerate(pairs)]
        columns: dict[str, object] = {
            "utterance": [path[3:-4] for path in paths], "speaker": speakers, "session": sessions,
            "path": paths, "duration_seconds": np.full(ROWS, 8.0),
            "sample_rate": np.full(ROWS, 16_000, np.int32), "corpus": ["vox"] * ROWS,
            "shard": np.arange(ROWS, dtype=np.int32) // 256, "start": np.arange(ROWS),
            "samples": np.full(ROWS, 128_000),
        }  # fmt: skip
        pa.parquet.write_table(pa.table(columns), folder / "utterances.parquet")
        preprocessing = {"trim": "none", "min_rms_dbfs": None}
        write_json(folder / "store.json", {"format": "arrow", "preprocessing": preprocessing})
        opened: dict[str, Callable[[], Sized]] = {
            "a list, sorted and checked": lambda: read_manifest(folder / "utterances.parquet"),
            "store": lambda: Store.open(folder),
        }
        for what, function in opened.items():
            times = []
            for _ in range(3):
                started = time.perf_counter()
                assert len(function()) == ROWS
                times.append(time.perf_counter() - started)
            print(f"{ROWS:,} rows opened as {what}: {min(times):.2f} s (first {times[0]:.2f} s)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--utterances", type=int, default=1_000)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        root, output, format = arguments.child
        return child(Path(root), Path(output), format)
    prepare_sizes(arguments.utterances)
    open_tables()


if __name__ == "__main__":
    main()
