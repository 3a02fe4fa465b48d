"""Every job, ended at odd moments by every signal: the same command then ends as if undisturbed."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbral.checkpoints.checkpoint import find_checkpoint
from timbral.embeddings.table import read_embeddings, vectors_of

GOLDEN = Path(__file__).parent / "golden"
KILLS = int(os.environ.get("TIMBRAL_TEST_KILLS", "4"))
"""of each job"""
UTTERANCES = int(os.environ.get("TIMBRAL_TEST_UTTERANCES", "2000"))
"""of the odd corpora; 50,000 take some ten minutes"""
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
"""with the exit code of each"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Ended:
    """What a command ended with."""

    code: int
    err: str
    seconds: float


def run_verb(words: Sequence[object], cache: Path, end: tuple[int, float] | None = None) -> Ended:
    """Run a verb; with `end`, send the signal to it and its workers after so many seconds."""
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "timbral", *map(str, words)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"TIMBRAL_CACHE": str(cache)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        if end is not None:
            try:
                process.wait(end[1])
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, end[0])
        _, shown = process.communicate(timeout=900)
    return Ended(process.returncode, shown, time.monotonic() - started)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def weights(folder: Path) -> str:
    return find_checkpoint(folder).weights_sha256


def scores(folder: Path) -> str:
    return (folder / "scores.txt").read_text()


def vectors(folder: Path) -> list[object]:
    table = read_embeddings(folder)
    order = np.argsort(table["utterance"].to_pylist())
    return [table["utterance"].take(order).to_pylist(), vectors_of(table)[order].round(4).tolist()]


def disturb(
    words: Callable[[Path], Sequence[object]],
    result: Callable[[Path], object],
    folder: Path,
    kills: int = KILLS,
) -> None:
    """Run a job undisturbed, and one that is ended `kills` times: both have the same result.

    How the ended ones ended is printed (`pytest -rP` shows it).
    """
    draw, codes = random.Random(0), Counter[int]()
    undisturbed = run_verb(words(folder / "whole"), folder / "cache")
    assert undisturbed.code == 0, undisturbed.err
    for number in range(kills):
        signal_number, code = list(SIGNALS.items())[number % len(SIGNALS)]
        after = undisturbed.seconds * draw.uniform(0.02, 1.0)
        cache = folder / f"cache-{number}" if number % 2 else folder / "cache"
        ended = run_verb(words(folder / "ended"), cache, (signal_number, after))
        codes[ended.code] += 1
        assert ended.code in (0, code, -signal_number), ended.err  # the latter: Python was starting
        assert "Traceback" not in ended.err or after < 0.2, ended.err
        if ended.code == 0 and number < kills - 1:  # too late: the next one ends a new job
            assert result(folder / "ended") == result(folder / "whole")
            shutil.rmtree(folder / "ended", ignore_errors=True)
    last = run_verb(words(folder / "ended"), folder / "cache")
    assert last.code == 0, last.err
    assert result(folder / "ended") == result(folder / "whole")
    left = [path for path in folder.rglob(".*") if path.suffix in (".timbral-tmp", ".writing")]
    assert len(left) <= kills, "each takes what the one before it has left"
    print(f"{words(Path('OUTPUT'))[0]}: {kills} signals, exit codes {dict(codes)}, nothing lost")


@pytest.fixture(scope="module")
def corpus(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of `prepare`, nine of `embed`."""
    root = tmp_path_factory.mktemp("corpus")
    for path in voices.glob("*/*.ogg"):
        (root / path.parent.name).mkdir(exist_ok=True)
        for copy in range(12):
            (root / path.parent.name / f"{path.stem}-{copy}.ogg").symlink_to(path.resolve())
    return root


@pytest.mark.parametrize("format", ["arrow", "npy", "flac"])
def test_prepare_with_two_workers(corpus: Path, tmp_path: Path, format: str) -> None:
    disturb(
        lambda output: ["prepare", corpus, "--workers", 2, "--format", format, "--output", output],
        digests,
        tmp_path,
    )


@pytest.mark.parametrize("format", ["parquet", "npy"])
def test_embed_with_two_workers(run: Path, corpus: Path, tmp_path: Path, format: str) -> None:
    words = ["embed", run, corpus, "--device", "cpu", "--workers", 2, "--format", format]
    disturb(
        lambda output: [*words, "--output", output],
        vectors if format == "parquet" else lambda folder: len(list(folder.rglob("*.npy"))),
        tmp_path,
    )


def test_killed_trainings_end_alike(corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run_verb(["prepare", corpus, "--output", data], tmp_path).code == 0
    (tmp_path / "c.yaml").write_text(
        "encoder: {name: tdnn, channels: 16}\n"
        "data: {speakers_per_batch: 4, utterances_per_speaker: 3, crop_seconds: 0.8}\n"
        "schedule: {steps: 60}\ntrainer: {save_every: 5, validate_every: 20}\n"
    )
    words = ["train", tmp_path / "c.yaml", "--data", data, "--device", "cpu"]
    disturb(
        lambda output: [*words, "--validation-speakers", 2, "--output", output], weights, tmp_path
    )


def test_killed_evaluations_end_alike(run: Path, corpus: Path, tmp_path: Path) -> None:
    names = [str(path.relative_to(corpus)) for path in sorted(corpus.glob("*/*"))]
    lines = [f"1 {names[0]} {name}\n0 {names[-1]} {name}\n" for name in names[1:72]]
    (tmp_path / "t.txt").write_text("".join(lines))
    words = ["evaluate", run, tmp_path / "t.txt", "--root", corpus, "--device", "cpu"]
    disturb(lambda output: [*words, "--output", output], scores, tmp_path)


def test_killed_conversions_end_alike(tmp_path: Path) -> None:
    words = ["convert", GOLDEN / "paddle-tiny.pdparams"]
    disturb(lambda output: [*words, "--output", output], weights, tmp_path)


def test_killed_downloads_end_alike(tmp_path: Path) -> None:
    """From a copy: what is downloaded goes the same way into the cache."""
    words = ["download", "wavlm-base-plus-sv", "--weights-dir", GOLDEN / "wavlm-base-tiny"]
    disturb(lambda output: words, lambda output: None, tmp_path)
    [folder] = (tmp_path / "cache").glob("wavlm-base-plus-sv*")
    assert weights(folder)


@pytest.mark.parametrize("shape", ["many speakers", "one speaker"])
def test_odd_corpora(run: Path, tmp_path: Path, shape: str) -> None:
    """Speakers of one utterance each, or one speaker of all."""
    root, random_state = tmp_path / "corpus", np.random.default_rng(0)
    for number in range(UTTERANCES):
        speaker = root / (f"s{number:06d}" if shape == "many speakers" else "s")
        speaker.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * random_state.standard_normal(8_000)
        soundfile.write(speaker / f"{number:06d}.wav", noise, 16_000)
    disturb(
        lambda output: ["prepare", root, "--workers", 2, "--output", output],
        digests,
        tmp_path / "p",
        kills=2,
    )
    words = ["embed", run, root, "--device", "cpu", "--workers", 2]
    disturb(lambda output: [*words, "--output", output], vectors, tmp_path / "e", kills=2)
    table = read_embeddings(tmp_path / "e" / "ended")
    assert table.num_rows == UTTERANCES
    voices = ["speakers", tmp_path / "e" / "ended", "--output", tmp_path / "voices.parquet"]
    assert run_verb(voices, tmp_path).code == 0
    assert run_verb(["inspect", tmp_path / "p" / "ended"], tmp_path).code == 0
    assert run_verb(["audit", tmp_path / "e" / "ended"], tmp_path).code == 0
