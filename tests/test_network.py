"""No verb opens a connection that was not asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from timbral.cli.verb_table import VERBS
from timbral.demo.shipped import VOICES

GOLDEN = Path(__file__).parent / "golden"
NO_WORK = {"configs", "corpora", "models"}
NOT_RUN = {"demo", "push", "serve"}
"""the demo does what other verbs do, push is there to connect, and serve waits for those who do"""
OWN = """
from timbral.encoders.tdnn import TdnnConfig, TdnnEncoder

class MineConfig(TdnnConfig):
    pass

class Mine(TdnnEncoder):
    name = "mine"
    config_type = MineConfig
    tiny_config = MineConfig(channels=16)
"""

WATCH = """
import os, sys

def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        line = f"{event} {args[1:] if event != 'socket.getaddrinfo' else args[:2]}\\n"
        descriptor = os.open(os.environ["CONNECTIONS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line.encode())
        os.close(descriptor)

sys.addaudithook(watch)
"""

RUN = """
import sys
from timbral.cli.main import run

if __name__ == "__main__":
    for line in sys.stdin.read().splitlines():
        sys.argv = ["timbral", *line.split()]
        print(sys.argv[1], run(), file=sys.stderr)
"""


@pytest.mark.slow
def test_no_verb_asks_anybody(run: Path, voices: Path, tmp_path: Path) -> None:
    """Nor do its workers or trackers; system calls are watched, too, where strace is there."""
    first, second, *_ = sorted(voices.glob("*/*"))
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "c.yaml").write_text(
        "encoder: {name: tdnn, channels: 16}\n"
        "data: {speakers_per_batch: 4, utterances_per_speaker: 3, crop_seconds: 0.8}\n"
        "schedule: {steps: 2}\ntracking: {audio_every: 1}\n"
    )
    packages = {"mlflow": "mlflow", "wandb": "wandb", "comet": "comet_ml",
                "tensorboard": "tensorboard", "visualdl": "visualdl"}  # fmt: skip
    trackers = " ".join(name for name, package in packages.items() if find_spec(package))
    copy = f"{GOLDEN}/wavlm-base-tiny"
    commands = [
        *sorted(NO_WORK),
        f"prepare {voices} --output {out}/data --workers 2",
        f"inspect {out}/data",
        f"export-list {voices} --output {out}/list.csv --format csv",
        f"train {tmp_path}/c.yaml --data {out}/data --output {out}/run --validation-speakers 2 "
        f"--trackers {trackers}",
        f"average {run} {run} --output {out}/averaged",
        f"embed {run} {voices} --output {out}/e --workers 2",
        f"speakers {out}/e --output {out}/voices.parquet",
        f"audit {out}/e",
        f"map {out}/e --output {out}/map.html",
        f"cluster {out}/e --output {out}/clusters.parquet",
        f"import-embeddings {out}/e/utterances.parquet --output {out}/imported",
        f"trials {VOICES} --output {out}/all.txt --per-speaker 3",
        f"evaluate {run} {out}/all.txt --root {VOICES} --output {out}/evaluation --allow-seen",
        f"calibrate {out}/evaluation --output {out}/calibration.json",
        f"similarity {run} {voices} {voices} --output {out}/similarity",
        f"trials {voices} --output {out}/trials.txt --per-speaker 10",
        f"score {out}/e {out}/trials.txt --output {out}/scores.txt",
        f"compare {out}/evaluation {out}/evaluation",
        f"check {first}",
        f"verify {run} {first} {second}",
        f"enroll {out}/gallery somebody {first} {second} --encoder {run} --force",
        f"gallery list {out}/gallery",
        f"identify {out}/gallery {first} --encoder {run}",
        f"check-encoder {tmp_path}/mine.py:Mine",
        f"export {run} --output {out}/encoder.onnx",
        f"download wavlm-base-plus-sv --weights-dir {copy}",
        f"convert {copy} --output {out}/converted",
    ]
    assert {command.split()[0] for command in commands} == VERBS.keys() - NOT_RUN
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    (tmp_path / "verbs.py").write_text(RUN)
    log = tmp_path / "strace.log"
    calls = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(log)]
    watched = subprocess.run(
        [*(calls if shutil.which("strace") else []), sys.executable, str(tmp_path / "verbs.py")],
        input="\n".join(commands), text=True, check=True, capture_output=True, cwd=out,
        env={key: each for key, each in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"} | {
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
            "CONNECTIONS": str(tmp_path / "connections"), "TIMBRAL_CACHE": str(out / "cache"),
        },
    )  # fmt: skip
    for command in commands:
        assert f"\n{command.split()[0]} 0\n" in f"\n{watched.stderr}", watched.stderr
    asked = tmp_path / "connections"
    lines = asked.read_text().splitlines() if asked.exists() else []
    assert [line for line in lines if not is_of_this_machine(line)] == []
    called = log.read_text().splitlines() if log.exists() else []
    outward = [line for line in called if re.search(r"sa_family=AF_INET6?,", line)]
    assert [line for line in outward if not is_of_this_machine(line)] == []


def is_of_this_machine(line: str) -> bool:
    """Whether a call goes to another process here, or asks for a name of this machine."""
    return bool(re.search(r"127\.0\.0\.1|::1|localhost|'/|b'\\x00", line))
