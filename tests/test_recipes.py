"""The recipes' own scripts on the real speech beside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from timbral.audio.decode import decode
from timbral.audio.quality.short_time import analyze
from timbral.audio.quality.sound_features import windows_of
from timbral.audio.quality.sound_model import WEIGHTS
from timbral.data.prepared.store import Store
from timbral.demo.shipped import VOICES
from timbral.embeddings.table import utterance_schema, write_table
from timbral.scoring.trials import read_trials

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.mark.slow
def test_accuracy_data(shared: Path, tmp_path: Path) -> None:
    command = [sys.executable, RECIPES / "accuracy" / "prepare.py", shared, tmp_path]
    subprocess.run(list(map(str, command)), check=True)
    names = set(Store.open(tmp_path / "train").speaker_names)
    dev = (shared / "speechocean762-train" / "speakers-dev.txt").read_text().split()
    assert len(names) == 348
    assert not names & {f"librispeech-{name}" for name in ("19", "26", "27")}
    assert not names & {f"speechocean762-{name}" for name in dev}
    for trial in read_trials(tmp_path / "trials-sessions.txt"):
        first, second = Path(trial.first), Path(trial.second)
        same_speaker = first.parts[-3] == second.parts[-3]
        assert same_speaker == bool(trial.label)
        assert not same_speaker or first.parts[-2] != second.parts[-2]
        assert Path(trial.first).exists()


SMALL = "model.num_layers 1 model.hidden_size 8 model.embedding_size 8"


def run_ge2e(*words: object) -> subprocess.CompletedProcess[str]:
    options = (
        "--device cpu --validation-speakers 0 --opts training.max_iteration 2 "
        f"training.speakers_per_batch 3 training.utterances_per_speaker 2 {SMALL}"
    )
    beside_python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [RECIPES / "ge2e" / "run.sh", *map(str, words)],
        env={**os.environ, "PATH": beside_python, "TRAIN_OPTIONS": options},
        check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "stages", "code"), [("1", "prepare train embed", 1), ("2", "prepare", 2)]
)
def test_unusable_recordings_do_not_end_ge2e(
    tmp_path: Path, ends: str, stages: str, code: int
) -> None:
    """A stand-in for timbral tells which verbs are run; prepare and embed end as it is told."""
    command = tmp_path / "timbral"
    command.write_text(f'#!/bin/sh\nprintf "%s " "$1"\n[ "$1" = train ] || exit {ends}\n')
    command.chmod(0o755)
    done = subprocess.run(
        [RECIPES / "ge2e" / "run.sh"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout.strip(), done.returncode) == (stages, code)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stage", "x"], "--stage needs the number of a stage, 0, 1 or 2; got 'x'"),
        (["--stop-stage"], "--stop-stage needs the number of a stage, 0, 1 or 2; got ''"),
        (["--stage", "3"], "no stage from 3 to 2"),
        (["--stop_stage", "0", "--stage", "1"], "no stage from 1 to 0"),
        (["--ngpu", "1"], "unknown option --ngpu"),
    ],
)
def test_mistakes_in_the_stages_of_ge2e_are_errors(words: list[str], told: str) -> None:
    """Nothing was run for them, with exit code 0."""
    script = RECIPES / "ge2e" / "run.sh"
    done = subprocess.run([script, *words], check=False, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 2)
    assert done.stderr.startswith(f"error: {told}")
    shown = subprocess.run([script, "--help"], check=False, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "[--stage N] [--stop-stage N]" in shown.stdout


@pytest.mark.slow
def test_ge2e_trains_and_embeds(store: Store, voices: Path, tmp_path: Path) -> None:
    run, vectors = tmp_path / "run", tmp_path / "vectors"
    done = run_ge2e("--stage", 1, "none", store.folder, "none", run, voices, vectors)
    assert done.returncode == 0, done.stderr
    made = sorted(path.relative_to(vectors).with_suffix("") for path in vectors.glob("[!.]*/*.npy"))
    recordings = sorted(path.relative_to(voices).with_suffix("") for path in voices.rglob("*.ogg"))
    assert made == recordings
    assert np.load(vectors / f"{made[0]}.npy").shape == (8,)


@pytest.mark.slow
def test_ge2e_on_real_speech(shared: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("dump", "run", "vectors")]
    root = tmp_path / "datasets"
    shutil.copytree(shared / "LibriSpeech", root / "LibriSpeech")
    broken = sorted(root.rglob("*.flac"))[5]
    broken.write_bytes(b"")
    done = run_ge2e(root, paths[0], "librispeech_other", paths[1], root / "LibriSpeech", paths[2])
    assert done.returncode == 1, done.stderr
    assert "59 utterances of 3 speakers" in done.stdout
    assert "layout: librispeech, 3 speakers: 19, 26, 27" in done.stderr
    assert len(list(paths[2].rglob("[!.]*.npy"))) == 59


@pytest.mark.slow
def test_the_sound_model_is_what_its_recipe_makes(shared: Path, tmp_path: Path) -> None:
    """From few examples, so that it takes seconds: a model of the same kind, nearly as good."""
    output = tmp_path / "weights.json"
    script = RECIPES / "quality" / "train_sounds.py"
    options = ["--recordings", "150", "--rounds", "8", "--output", str(output)]
    subprocess.run([sys.executable, str(script), str(shared), *options], check=True)
    made, shipped = (json.loads(path.read_text()) for path in (output, WEIGHTS))
    for name in ("speech", "music"):
        assert np.shape(made[name]["weights"]) == np.shape(shipped[name]["weights"])
    paths = sorted(VOICES.glob("*/*.ogg"))[::40]
    rows = np.concatenate([windows_of(analyze(*decode(path)))[0] for path in paths])
    assert np.mean(rows @ made["speech"]["weights"] + made["speech"]["bias"] > 0) > 0.9


@pytest.mark.slow
def test_meetings_of_profiles_that_are_fed_by_others(
    tmp_path: Path,
) -> None:
    """Synthetic vectors; docs/gallery.md has the figures of real speech."""
    random = np.random.default_rng(0)
    voices = np.repeat(random.standard_normal((8, 192)), 20, axis=0)
    vectors = (voices + 0.7 * random.standard_normal(voices.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"s{row // 20}" for row in range(160)]
    count = len(names)
    columns = {
        "utterance": [f"u{row}" for row in range(count)],
        "speaker": names,
        "session": [""] * count,
        "path": [f"{row}.wav" for row in range(count)],
        "duration_seconds": [4.0] * count,
        "embedding": list(vectors),
        "encoder": ["campplus-zh-en"] * count,
        "weights_sha256": ["a" * 64] * count,
        "license": [""] * count,
    }
    write_table(pa.table(columns, utterance_schema(192)), tmp_path / "utterances.parquet")
    (tmp_path / "speakers.txt").write_text("\n".join(sorted(set(names))))
    words = [tmp_path, tmp_path / "speakers.txt", 1]
    command = [sys.executable, RECIPES / "gallery" / "meetings.py", *words]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    assert "8 speakers, 1 meetings of 6" in done.stdout
    everything, _, guarded = done.stdout.splitlines()[-2].split(" | ")[1:]
    assert float(everything.split(" %")[0]) > 10
    assert guarded.startswith("0.0 %")
