"""The verbs as a user types them: output, exit codes, no tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from timbral.data.prepared.store import Store


def timbral(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "timbral", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_help_names_every_verb() -> None:
    result = timbral("--help")
    assert result.returncode == 0
    for verb in ("prepare", "train", "evaluate", "embed", "verify", "map", "demo"):
        assert verb in result.stdout
    assert timbral("--version").stdout.startswith("timbral 0.")


@pytest.mark.slow
def test_the_whole_job(voices: Path, tmp_path: Path) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    prepared = timbral("prepare", "--folder", voices, "--output-dir", data)
    assert prepared.returncode == 0, prepared.stderr
    assert "prepared: 48 utterances of 8 speakers" in prepared.stdout
    config = tmp_path / "c.yaml"
    config.write_text("encoder: {name: tdnn, channels: 16}\ndata: {speakers_per_batch: 4}\n")
    train = ["train", config, "--data", data, "--output", run, "--validation-speakers", 2]
    trained = timbral(*train, "--opts", "schedule.steps", 2, "data.utterances_per_speaker", 3)
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == "", "quiet when the output is not a terminal"
    assert "best validation EER" in trained.stdout

    files = sorted(voices.glob("*/*.ogg"))
    same = timbral("verify", run, files[0], files[0], "--threshold", "0.5")
    assert same.stdout == "cosine 1.000\nsame speaker (threshold 0.500)\n"
    other = timbral("verify", run, files[0], files[-1])
    assert other.returncode == 0
    assert "speaker" in other.stdout

    embedded = timbral("embed", run, voices, "--output", out)
    assert embedded.returncode == 0, embedded.stderr
    drawn = timbral("map", out, "--output", tmp_path / "map.html")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "map.html").stat().st_size > 1_000_000
    assert (tmp_path / "map.png").stat().st_size > 10_000


def mistakes(
    store: Path, run: Path, voices: Path, tmp: Path
) -> dict[str, tuple[list[object], str]]:
    """Command lines that are wrong, and words that their answer must have."""
    (tmp / "bad.yaml").write_text("encoder: lstm\nschedule: {stepz: 3}\n")
    (tmp / "good.yaml").write_text("encoder: lstm\n")
    (tmp / "list.txt").write_text("nobody\n")
    (tmp / "empty").mkdir()
    (tmp / "trials.txt").write_text("1 a.wav b.wav\n0 a.wav c.wav\n")
    recording = sorted(voices.glob("*/*.ogg"))[0]
    to = ["--output-dir", tmp / "d"]
    train = ["train", tmp / "good.yaml", "--data", store, "--output", tmp / "r"]
    return {
        "no source": (["prepare", *to], "one of --folder, --kaldi,"),
        "no folder": (["prepare", "--folder", tmp / "x", *to], "no such folder"),
        "no audio": (["prepare", "--folder", tmp / "empty", *to], "no audio found"),
        "min_rms_dbfs": (
            ["prepare", "--folder", voices, *to, "--min-rms-dbfs", "loud"],
            "level in dBFS or none",
        ),
        "unknown key": (["train", tmp / "bad.yaml", *train[2:]], "did you mean 'steps'"),
        "no config": (["train", tmp / "none.yaml", *train[2:]], "cannot be read"),
        "no data": ([*train[:3], tmp / "empty", *train[4:]], "timbral prepare"),
        "speaker list": ([*train, "--exclude-speakers", tmp / "list.txt"], "such as 'nobody'"),
        "too few speakers": (train, "only 8 speakers"),
        "no run": (["verify", tmp / "empty", recording, recording], "holds no checkpoint"),
        "no recording": (["verify", run, recording, tmp / "gone.wav"], "no such file"),
        "folder as recording": (["verify", run, recording, voices], "is a folder"),
        "trials": (
            ["evaluate", run, tmp / "trials.txt", "--output", tmp / "e"],
            "no trial could be scored",
        ),
        "page name": (["map", tmp / "empty", "--output", tmp / "map"], "such as map.html"),
        "no vectors": (["map", tmp / "empty", "--output", tmp / "m.html"], "utterances.parquet"),
        "layout": (
            ["embed", run, voices, "--layout", "vctk", "--output", tmp / "o"],
            "no audio found in layout vctk",
        ),
        "file as output": (
            ["embed", run, voices, "--output", tmp / "good.yaml"], "good.yaml",
        ),
        "unknown flag": (["prepare", "--folderr", voices], "--folder"),
        "unknown verb": (["embbed"], "embed"),
    }  # fmt: skip


def test_mistakes_get_an_answer(store: Store, run: Path, voices: Path, tmp_path: Path) -> None:
    for name, (words, expected) in mistakes(store.folder, run, voices, tmp_path).items():
        result = timbral(*words)
        output = result.stdout + result.stderr
        assert result.returncode == 2, f"{name}: exit code {result.returncode}: {output}"
        assert expected in " ".join(output.split()), f"{name}: {output}"
        assert "Traceback" not in output, name


def test_bad_recordings_end_with_exit_code_1(run: Path, voices: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus" / "anna"
    root.mkdir(parents=True)
    (root / "a.ogg").symlink_to(sorted(voices.glob("*/*.ogg"))[0])
    (root / "b.ogg").write_bytes(b"noise")
    result = timbral("prepare", "--folder", root.parent, "--output-dir", tmp_path / "d")
    assert result.returncode == 1
    assert "1 recordings could not be used" in result.stderr
    result = timbral("embed", run, root.parent, "--output", tmp_path / "o")
    assert result.returncode == 1
    assert "failures.jsonl" in result.stderr
